/*
 * fuzz: what the targets share. A target is one function; libFuzzer calls it
 * (make fuzz), or main.c with the files of its corpus (make check).
 *
 * Targets check properties with must(), which holds in every build.
 */
#ifndef MXW_FUZZ_H
#define MXW_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define must(cond)                                                             \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, \
			    __LINE__, #cond);                                  \
			abort();                                               \
		}                                                              \
	} while (0)

#endif
