# A CodeStream load balancer as the policy wants it. tests/policy.tftest.hcl holds its plan against the ten rules.

terraform {
  required_version = ">= 1.8"

  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

variable "region" {
  description = "The region of everything."
  type        = string
  default     = "us-east-1"
}

variable "protocol" {
  description = "HTTPS, or HTTP where cleartext is acknowledged by a tag."
  type        = string
  default     = "HTTPS"
}

variable "ssl_policy" {
  description = "The security policy of the listeners; the provider's recommended one when null."
  type        = string
  default     = null
}

variable "client_cidr_blocks" {
  description = "The addresses that may connect."
  type        = set(string)
  default     = ["198.51.100.0/24"]
}

variable "client_prefix_list_ids" {
  description = "Prefix lists with more addresses that may connect."
  type        = set(string)
  default     = null
}

variable "security_group_ids" {
  description = "Security groups of your own, instead of client_cidr_blocks and client_prefix_list_ids."
  type        = set(string)
  default     = null
}

variable "enable_deletion_protection" {
  description = "Whether AWS refuses to delete the load balancer."
  type        = bool
  default     = true
}

variable "log_bucket" {
  description = "The S3 bucket of the access logs; no logs when null."
  type        = string
  default     = "codestream-logs"
}

variable "drop_invalid_header_fields" {
  description = "Whether headers with invalid names are removed; the provider's default, which is yes, when null."
  type        = bool
  default     = null
}

variable "wait_for_healthy" {
  description = "Whether an apply waits for healthy instances; the provider's default, which is yes, when null."
  type        = bool
  default     = null
}

variable "tags" {
  description = "The tags of everything."
  type        = map(string)
  default     = { environment = "production", owner = "realtime" }
}

provider "codestream" {
  region = var.region
}

data "codestream_certificate" "codestream" {
  hostname = "codestream.mycompany.com"
}

resource "codestream_alb" "onprem" {
  protocol                   = var.protocol
  subnet_ids                 = ["subnet-0a", "subnet-0b"]
  instance_ids               = ["i-0123456789abcdef0"]
  certificate_arn            = var.protocol == "HTTPS" ? data.codestream_certificate.codestream.arn : null
  ssl_policy                 = var.ssl_policy
  hostname                   = data.codestream_certificate.codestream.hostname
  client_cidr_blocks         = var.client_cidr_blocks
  client_prefix_list_ids     = var.client_prefix_list_ids
  security_group_ids         = var.security_group_ids
  enable_deletion_protection = var.enable_deletion_protection
  access_logs                = var.log_bucket == null ? null : { bucket = var.log_bucket }
  drop_invalid_header_fields = var.drop_invalid_header_fields
  wait_for_healthy           = var.wait_for_healthy
  tags                       = var.tags
}

output "api_url" {
  description = "Where clients find the API."
  value       = codestream_alb.onprem.api_url
}

output "certificate_expires" {
  description = "When the certificate expires."
  value       = data.codestream_certificate.codestream.not_after
}
