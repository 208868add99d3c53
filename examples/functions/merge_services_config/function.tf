terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

variable "hostname" {
  description = "The name under which clients reach CodeStream."
  type        = string
  default     = "codestream.mycompany.com"
}

locals {
  # As it is on the host, tabs and all; with secrets in it, so read it with sensitive(file("codestream-services-config.json")).
  existing = "{\n\t\"apiServer\": {\n\t\t\"port\": 80,\n\t\t\"ignoreHttps\": true\n\t}\n}\n"

  # Usually the services_config of a codestream_alb.
  patch = jsonencode({
    apiServer = {
      ignoreHttps  = false
      port         = 443
      publicApiUrl = "https://${var.hostname}"
    }
  })
}

output "services_config" {
  description = "The host's new codestream-services-config.json: what the patch does not name is as it was, byte for byte."
  value       = provider::codestream::merge_services_config(local.existing, local.patch)
}
