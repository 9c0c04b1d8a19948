/* What the files of this extension share. Every function here works on memory that its caller has sized. */

#ifndef PHOENIX_KERNELS_H
#define PHOENIX_KERNELS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* keccak.c: `output` takes 32 bytes. */
void keccak256(const uint8_t *data, size_t size, uint8_t *output);

/* Functions of the module, one table per file. */
extern PyMethodDef keccak_methods[];
extern PyMethodDef blake2_methods[];
extern PyMethodDef recover_methods[];
extern PyMethodDef bn128_methods[];

/* bn128.c: makes its constants; called once, when the module is loaded. */
void bn128_prepare(void);

#endif
