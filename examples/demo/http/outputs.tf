output "api_url" {
  description = "Where CodeStream clients find the API."
  value       = codestream_alb.onprem.api_url
}

output "broadcaster_url" {
  description = "Where CodeStream clients find the Broadcaster."
  value       = codestream_alb.onprem.broadcaster_url
}

output "services_config" {
  description = "What to change in the host's codestream-services-config.json."
  value       = codestream_alb.onprem.services_config
}

output "ready" {
  description = "Whether every target is healthy."
  value       = codestream_alb.onprem.ready
}
