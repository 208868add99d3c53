terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# A load balancer that another configuration, CloudFormation or somebody in the console has made.
data "codestream_alb" "onprem" {
  name = "codestream-alb"
}

# Every plan and apply warns while a target is not healthy.
check "codestream_is_healthy" {
  assert {
    condition = data.codestream_alb.onprem.healthy
    error_message = join("\n", [
      for target in data.codestream_alb.onprem.targets :
      "${target.role} on ${target.instance_id}:${target.port} is ${target.state}: ${coalesce(target.description, "no reason given")}"
    ])
  }
}

output "api_target_group_arn" {
  value = data.codestream_alb.onprem.api.target_group_arn
}
