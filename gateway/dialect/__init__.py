"""How requests are read and replies written: forms, numbers, codes and error texts.

`gateway.auth` and `gateway.handlers` name only the parameters that they ask for.
"""
