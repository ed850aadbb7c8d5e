// TODO: break the rule that what is committed is finished.
