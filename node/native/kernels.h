/* What the files of this extension share. Every function here works on memory that its caller has sized. */

#ifndef PHOENIX_KERNELS_H
#define PHOENIX_KERNELS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* What the functions of the module take and give: the same number as in node.native. */
enum { INTERFACE = 1 };

/* keccak.c: `output` takes 32 bytes. */
void keccak256(const uint8_t *data, size_t size, uint8_t *output);

/* keccak_many.c: the same for messages that do not wait for each other's hashes, so that several are hashed at
 * once: no output lies in a message. Needs no interpreter lock. */
typedef struct { const uint8_t *data; size_t size; uint8_t *output; } keccak_job;
void keccak_many(const keccak_job *jobs, size_t count);

/* rlp.c: where the payload of the item at `position` lies; 0 when there is none that ends before `limit`. */
typedef struct { size_t start, end; int is_list; } rlp_bounds;
int rlp_item(const uint8_t *data, size_t position, size_t limit, rlp_bounds *item);

/* words.c: a number of Python's in so many bytes, highest first; -1 with OverflowError where it has no place in
 * them, or TypeError. And back: 32 bytes at most. */
int number_bytes(PyObject *number, uint8_t *out, size_t size);
PyObject *number_from(const uint8_t *bytes, size_t size);

/* The same for a tuple of numbers below 2**256 as one of 32 bytes each; NULL with an exception for anything else. */
PyObject *bytes_of_words(PyObject *words);

/* Functions of the module, one table per file. */
extern PyMethodDef keccak_methods[];
extern PyMethodDef keccak_many_methods[];
extern PyMethodDef blake2_methods[];
extern PyMethodDef recover_methods[];
extern PyMethodDef bn128_methods[];
extern PyMethodDef rlp_methods[];
extern PyMethodDef trie_methods[];
extern PyMethodDef trie_update_methods[];
extern PyMethodDef ordered_root_methods[];
extern PyMethodDef rows_methods[];
extern PyMethodDef images_methods[];
extern PyMethodDef leaves_methods[];
extern PyMethodDef transaction_methods[];
extern PyMethodDef slots_methods[];
extern PyMethodDef receipts_methods[];
extern PyMethodDef bloom_methods[];
extern PyMethodDef words_methods[];
extern PyMethodDef storage_methods[];
extern PyMethodDef interpret_methods[];

/* bn128.c and leaves.c make their constants, keccak.c looks at the processor; called once, when the module is loaded. */
void keccak_prepare(void);
void bn128_prepare(void);
void leaves_prepare(void);

#endif
