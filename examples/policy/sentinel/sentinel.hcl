policy "codestream_alb" {
  source            = "./codestream_alb.sentinel"
  enforcement_level = "hard-mandatory"
}
