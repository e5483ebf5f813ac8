SEC tc
r9 = r1
r7 = *(s16 *)(r9 +80)
