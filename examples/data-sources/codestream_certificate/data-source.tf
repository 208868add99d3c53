terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# The issued certificate that covers the name. When there is none, the plan fails and says why each near miss was refused.
data "codestream_certificate" "codestream" {
  hostname = "codestream.mycompany.com"
}

output "certificate_arn" {
  value = data.codestream_certificate.codestream.arn
}

output "certificate_expires" {
  value = data.codestream_certificate.codestream.not_after
}
