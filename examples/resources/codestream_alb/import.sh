# By name:
terraform import codestream_alb.onprem codestream-alb

# By ARN:
terraform import codestream_alb.onprem arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/codestream-alb/0123456789abcdef
