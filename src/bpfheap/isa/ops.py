"""The instruction set: one table row per operation (RFC 9669, sections 4 and 5).

Assembler, disassembler, verifier and interpreters look a slot up with `op_of` and dispatch on
the row; none of them takes opcodes apart again.
"""
