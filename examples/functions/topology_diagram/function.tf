terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# The topology of a codestream_alb is known at plan, and so is the picture of it:
#
#   terraform plan -out=tfplan
#   terraform show -json tfplan | jq -r .planned_values.outputs.diagram.value
#
# In a pull request, GitHub and GitLab draw it when it is in a code block of the language mermaid.
output "diagram" {
  value = provider::codestream::topology_diagram({
    listeners = [
      { port = 443, protocol = "HTTPS", target_group = "codestream-alb-api-0a1b2c3d" },
      { port = 12443, protocol = "HTTPS", target_group = "codestream-alb-ws-4e5f6a7b" },
    ]
    target_groups = [
      { role = "api", name = "codestream-alb-api-0a1b2c3d", port = 443, protocol = "HTTPS", instance_ids = ["i-0123456789abcdef0"] },
      { role = "broadcaster", name = "codestream-alb-ws-4e5f6a7b", port = 12443, protocol = "HTTPS", instance_ids = ["i-0123456789abcdef0"] },
    ]
    security_group_rules = [
      { direction = "ingress", protocol = "tcp", from_port = 443, to_port = 443, source = "198.51.100.0/24" },
      { direction = "ingress", protocol = "tcp", from_port = 12443, to_port = 12443, source = "198.51.100.0/24" },
    ]
  })
}
