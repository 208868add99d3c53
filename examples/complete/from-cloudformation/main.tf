# Takes over the load balancer that CodeStream's CloudFormation template has made, over HTTPS: nothing is replaced.

terraform {
  required_version = ">= 1.8"

  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

variable "subnet_ids" {
  description = "What the template's parameter for the public subnets was."
  type        = set(string)
}

variable "certificate_arn" {
  description = "What the template's parameter for the certificate was."
  type        = string
}

variable "hostname" {
  description = "The name under which clients reach CodeStream. The template does not know it."
  type        = string
}

variable "instance_id" {
  description = "The instance that is registered in both target groups."
  type        = string
}

variable "client_cidr_block" {
  description = "What the template's parameter for the clients' addresses was."
  type        = string
}

variable "host_cidr_block" {
  description = "The address from which the instance itself reaches the load balancer, as a block: 203.0.113.7/32."
  type        = string
}

provider "codestream" {}

import {
  to = codestream_alb.onprem
  id = "codestream-alb"
}

resource "codestream_alb" "onprem" {
  name                 = "codestream-alb"
  subnet_ids           = var.subnet_ids
  certificate_arn      = var.certificate_arn
  hostname             = var.hostname
  instance_ids         = [var.instance_id]
  client_cidr_blocks   = [var.client_cidr_block]
  instance_cidr_blocks = [var.host_cidr_block]
}
