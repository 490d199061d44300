"""What runs tasks: one package per kind of runtime. They do not import each other."""
