(component
  (core module $m
