# By name:
terraform import codestream_deepstream_cluster.realtime realtime

# By the ARN of the load balancer:
terraform import codestream_deepstream_cluster.realtime arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/realtime/0123456789abcdef
