# terraform test: neither run asks AWS anything.

# The real provider plans with every default, without credentials and without a network.
provider "codestream" {
  region    = var.region
  preflight = "off"
}

# Stands in for the provider where even a plan of the real one is not wanted.
mock_provider "codestream" {
  alias = "mock"
}

variables {
  region          = "us-east-1"
  allowed_regions = ["us-east-1", "us-west-2", "eu-central-1"]
  required_tags   = ["environment", "owner"]

  # Security groups of your own and prefix lists whose rules and entries somebody has reviewed, by id: no plan of a
  # codestream_alb shows what is in them.
  reviewed_sources = []
}

override_data {
  target = data.codestream_certificate.codestream
  values = {
    arn       = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
    not_after = "2100-01-01T00:00:00Z"
  }
}

run "plan_keeps_the_policy" {
  command = plan

  assert {
    condition = alltrue([
      for listener in codestream_alb.onprem.topology.listeners :
      listener.protocol == "HTTPS" || startswith(listener.target_group, "redirect:")
    ]) || try(codestream_alb.onprem.tags_all.insecure == "acknowledged", false)
    error_message = "tls_only: a listener speaks HTTP and does not redirect to HTTPS."
  }

  assert {
    condition = alltrue([
      for listener in codestream_alb.onprem.topology.listeners :
      can(regex("^ELBSecurityPolicy-(TLS13-1-2|TLS13-1-3|FS-1-2|TLS-1-2)-", listener.ssl_policy)) && !strcontains(listener.ssl_policy, "-Ext")
      if listener.protocol == "HTTPS"
    ])
    error_message = "strong_tls_policy: ssl_policy admits TLS 1.0 or 1.1, or the weak ciphers of an Ext policy."
  }

  assert {
    condition = try(codestream_alb.onprem.tags_all.public == "true", false) || alltrue(concat(
      [
        for rule in codestream_alb.onprem.topology.security_group_rules :
        strcontains(rule.source, "/") && !endswith(rule.source, "/0") || contains(var.reviewed_sources, rule.source)
        if rule.direction != "egress"
      ],
      codestream_alb.onprem.security_group_ids == null ? [] : [
        for id in codestream_alb.onprem.security_group_ids : contains(var.reviewed_sources, id)
      ],
    ))
    error_message = "no_world_open_sources: every address may connect, or who may is in a security group or prefix list that nobody has reviewed."
  }

  assert {
    condition     = codestream_alb.onprem.enable_deletion_protection || try(codestream_alb.onprem.tags_all.environment, "") != "production"
    error_message = "deletion_protection_in_production: enable_deletion_protection is off in production."
  }

  assert {
    condition     = try(codestream_alb.onprem.access_logs.bucket, null) != null
    error_message = "access_logs: access_logs is not set."
  }

  assert {
    condition     = codestream_alb.onprem.drop_invalid_header_fields
    error_message = "invalid_headers_dropped: drop_invalid_header_fields is off."
  }

  assert {
    condition     = codestream_alb.onprem.wait_for_healthy
    error_message = "health_wait: wait_for_healthy is off."
  }

  assert {
    condition     = codestream_alb.onprem.protocol == "HTTP" || timecmp(data.codestream_certificate.codestream.not_after, timeadd(plantimestamp(), "720h")) >= 0
    error_message = "certificate_not_near_expiry: the certificate expires within 30 days."
  }

  assert {
    condition     = alltrue([for key in var.required_tags : try(codestream_alb.onprem.tags_all[key], "") != ""])
    error_message = "tags_present: a required tag is missing or empty."
  }

  assert {
    condition     = contains(var.allowed_regions, var.region)
    error_message = "region_allowed: the region is not an allowed one."
  }
}

# A mock knows the types of the attributes and invents their values: enough to try a whole module with it.
run "mocked_module_applies" {
  command = apply

  providers = {
    codestream = codestream.mock
  }

  assert {
    condition     = output.api_url != null && output.certificate_expires == "2100-01-01T00:00:00Z"
    error_message = "The outputs do not follow from the resource and the certificate."
  }
}
