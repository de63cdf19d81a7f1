"""The laptop world: procedural questions, a scripted teacher, two small base models of our own."""
