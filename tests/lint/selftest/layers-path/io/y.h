// Here.
