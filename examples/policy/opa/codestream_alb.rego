# Ten rules for every codestream_alb of a Terraform or OpenTofu plan in JSON form:
#
#   terraform plan -out=tfplan && terraform show -json tfplan > plan.json
#   conftest test --policy examples/policy/opa --namespace codestream.alb plan.json
#   opa eval --data examples/policy/opa --input plan.json data.codestream.alb.deny
#
# A value that the plan does not know breaks its rule: nothing passes unseen.
package codestream.alb

import rego.v1

# What an organisation decides for itself.
allowed_regions := {"us-east-1", "us-west-2", "eu-central-1"}

required_tags := {"environment", "owner"}

certificate_days := 30

# Security groups of your own and prefix lists whose rules and entries somebody has reviewed, by id: no plan of a
# codestream_alb shows what is in them.
reviewed_sources := set()

# The broken rules, each with the address of the resource that breaks it.
deny contains {"msg": sprintf("%s: %s (%s)", [address, text, rule]), "rule": rule, "address": address} if {
	some address, stack in stacks
	some rule, text in broken(stack)
}

# Every stack that there will be after the plan: its values, and its name in the configuration.
stacks[change.address] := object.union(change.change.after, {"resource_name": change.name}) if {
	some change in input.resource_changes
	change.mode == "managed"
	change.type == "codestream_alb"
	change.change.after != null
}

broken(stack) := {rule: text |
	some rule, text in {
		"tls_only": "a listener speaks HTTP and does not redirect to HTTPS; use HTTPS, or acknowledge it with the tag insecure = acknowledged",
		"strong_tls_policy": "ssl_policy admits TLS 1.0 or 1.1, or the weak ciphers of an Ext policy",
		"no_world_open_sources": "every address may connect, or who may is in a security group or prefix list that nobody has reviewed; name the clients' networks, or set the tag public = true",
		"deletion_protection_in_production": "enable_deletion_protection is off in production",
		"access_logs": "access_logs is not set",
		"invalid_headers_dropped": "drop_invalid_header_fields is off",
		"health_wait": "wait_for_healthy is off",
		"certificate_not_near_expiry": "no data source codestream_certificate of the plan shows that the certificate is valid for long enough",
		"tags_present": "a required tag is missing or empty",
		"region_allowed": "its region is not an allowed one, or the plan does not tell it: set region in the provider block",
	}
	not kept(rule, stack)
}

kept("tls_only", stack) if {
	every listener in stack.topology.listeners {
		encrypted(listener)
	}
}

kept("tls_only", stack) if stack.tags_all.insecure == "acknowledged"

kept("strong_tls_policy", stack) if {
	every listener in stack.topology.listeners {
		strong(listener)
	}
}

kept("no_world_open_sources", stack) if {
	count(own_groups(stack) - reviewed_sources) == 0
	every rule in stack.topology.security_group_rules {
		narrow(rule)
	}
}

kept("no_world_open_sources", stack) if stack.tags_all.public == "true"

kept("deletion_protection_in_production", stack) if stack.enable_deletion_protection == true

kept("deletion_protection_in_production", stack) if object.get(stack.tags_all, "environment", "") != "production"

kept("access_logs", stack) if stack.access_logs.bucket != ""

kept("invalid_headers_dropped", stack) if stack.drop_invalid_header_fields == true

kept("health_wait", stack) if stack.wait_for_healthy == true

kept("certificate_not_near_expiry", stack) if stack.protocol == "HTTP"

kept("certificate_not_near_expiry", stack) if {
	some certificate in certificates
	certificate.arn == stack.certificate_arn
	left := time.parse_rfc3339_ns(certificate.not_after) - time.parse_rfc3339_ns(input.timestamp)
	left >= ((certificate_days * 24) * 3600) * 1000000000
}

kept("tags_present", stack) if {
	every key in required_tags {
		stack.tags_all[key] != ""
	}
}

kept("region_allowed", stack) if {
	count(regions(stack)) > 0
	count(regions(stack) - allowed_regions) == 0
}

encrypted(listener) if listener.protocol == "HTTPS"

encrypted(listener) if startswith(listener.target_group, "redirect:")

strong(listener) if listener.protocol == "HTTP"

strong(listener) if {
	some prefix in ["TLS13-1-2-", "TLS13-1-3-", "FS-1-2-", "TLS-1-2-"]
	startswith(listener.ssl_policy, concat("", ["ELBSecurityPolicy-", prefix]))
	not contains(listener.ssl_policy, "-Ext")
}

narrow(rule) if rule.direction == "egress"

narrow(rule) if {
	contains(rule.source, "/")
	not endswith(rule.source, "/0")
}

narrow(rule) if rule.source in reviewed_sources

# The security groups that a stack has instead of one whose rules are in the plan.
own_groups(stack) := set() if stack.security_group_ids == null

own_groups(stack) := groups if {
	is_array(stack.security_group_ids)
	groups := {id | some id in stack.security_group_ids}
}

# What the data sources codestream_certificate found, in whichever module they are.
certificates contains found.values if {
	walk(input.prior_state.values, [_, found])
	found.mode == "data"
	found.type == "codestream_certificate"
}

# The regions that the plan names for a stack: those of its ARNs, and of its provider configuration.
regions(stack) := arn_regions(stack) | provider_regions(stack)

arn_regions(stack) := {region |
	some arn in [object.get(stack, "arn", null), object.get(stack, "certificate_arn", null)]
	is_string(arn)
	region := split(arn, ":")[3]
}

provider_regions(stack) := {region |
	some block in blocks
	block.name == stack.resource_name
	expression := input.configuration.provider_config[block.provider_config_key].expressions.region
	some region in known(expression)
}

# The resources of the configuration, in whichever module they are.
blocks contains block if {
	walk(input.configuration.root_module, [_, block])
	block.mode == "managed"
	block.type == "codestream_alb"
}

# What an expression is, when it is a constant or a variable of the root module.
known(expression) := {expression.constant_value}

known(expression) := values if {
	not expression.constant_value
	values := {value |
		some reference in expression.references
		name := trim_prefix(reference, "var.")
		value := input.variables[name].value
	}
}
