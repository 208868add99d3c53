variable "subnet_ids" {
  description = "Two public subnets in different Availability Zones, one of them in the zone of the instance."
  type        = set(string)
}

variable "instance_ids" {
  description = "The instance that runs CodeStream On-Prem."
  type        = set(string)
}

variable "client_cidr_blocks" {
  description = "The addresses from which CodeStream clients connect."
  type        = set(string)
}

variable "instance_cidr_blocks" {
  description = "The addresses from which the instance itself reaches the load balancer."
  type        = set(string)
}
