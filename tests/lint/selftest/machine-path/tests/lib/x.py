# Breaks the rule that nothing refers to one person's machine: /home/somebody/ringway
