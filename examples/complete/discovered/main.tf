# A CodeStream load balancer from three facts: which instance, which name, and who may connect. The network, the
# addresses of the host, the certificate and the security group of the host are found.

terraform {
  required_version = ">= 1.8"

  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

variable "instance_id" {
  description = "The instance that runs CodeStream On-Prem."
  type        = string
}

variable "hostname" {
  description = "The name under which clients reach CodeStream; an issued certificate in ACM must cover it."
  type        = string
}

variable "client_cidr_block" {
  description = "The addresses that may connect."
  type        = string
}

provider "codestream" {}

data "codestream_instance" "host" {
  instance_id = var.instance_id
}

data "codestream_certificate" "codestream" {
  hostname = var.hostname
}

resource "codestream_alb" "onprem" {
  subnet_ids           = data.codestream_instance.host.public_subnet_ids
  certificate_arn      = data.codestream_certificate.codestream.arn
  hostname             = data.codestream_certificate.codestream.hostname
  instance_ids         = [data.codestream_instance.host.instance_id]
  client_cidr_blocks   = [var.client_cidr_block]
  instance_cidr_blocks = data.codestream_instance.host.egress_cidr_blocks

  # Lets the load balancer in. A host with several security groups needs its choice made here.
  instance_security_group_id = one(data.codestream_instance.host.security_group_ids)
}

output "dns_name" {
  description = "What the host name must be an alias or a CNAME of."
  value       = codestream_alb.onprem.dns_name
}

output "services_config" {
  description = "What to change in the host's codestream-services-config.json."
  value       = codestream_alb.onprem.services_config
}

output "diagram" {
  description = "What there is, as a Mermaid flowchart."
  value       = provider::codestream::topology_diagram(codestream_alb.onprem.topology)
}
