terraform {
  required_version = ">= 1.8"

  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# Region and credentials come from the standard AWS chain where they are not given: environment variables, shared
# files, SSO, web identity, the ECS task's role, the EC2 instance's role.
provider "codestream" {
  region              = "us-east-1"
  allowed_account_ids = ["123456789012"]

  default_tags = {
    product = "codestream"
  }
}
