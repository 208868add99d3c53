terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# Everything a load balancer needs to know of the CodeStream host, from its id.
data "codestream_instance" "host" {
  instance_id = "i-0123456789abcdef0"
}

output "public_subnet_ids" {
  description = "A public subnet in each availability zone, that of the host first."
  value       = data.codestream_instance.host.public_subnet_ids
}

output "egress_cidr_blocks" {
  description = "The addresses from which the host reaches the load balancer."
  value       = data.codestream_instance.host.egress_cidr_blocks
}
