"""Files for the boards edge-asd runs on, one folder each; read them, copy them, or let `edge-asd doctor --board` check
a machine against them. There is no code here: the folder is a package so that it is installed with the program."""
