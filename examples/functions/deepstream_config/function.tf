terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

output "config_yml" {
  description = "The config.yml of a deepstream server that shares a Redis with others and lets no anonymous user in."
  value = provider::codestream::deepstream_config({
    port = 6020
    redis = {
      host               = "realtime.abc123.0001.use1.cache.amazonaws.com"
      transit_encryption = true
      # deepstream takes the password from its environment, as REDIS_AUTH_TOKEN.
      auth = true
    }
    config = {
      auth = [{
        type = "http"
        options = {
          endpointUrl          = "https://login.mycompany.com/deepstream"
          permittedStatusCodes = [200]
          requestTimeout       = 2000
        }
      }]
    }
  })
}
