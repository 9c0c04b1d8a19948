/* Signers of many signatures in one call, outside the interpreter lock.
 *
 * libsecp256k1 is the one that came with coincurve: Python hands over the addresses of its functions once.
 * One call for a batch matters: beside a busy thread, winning the lock back after each signature costs a
 * hundred times the recovery. */

#include "transaction.h"

enum { DIGEST = 32, SIGNATURE = 65, PUBLIC_KEY = 65, ADDRESS = 20, UNCOMPRESSED = 2 };

/* Opaque types of secp256k1.h and secp256k1_recovery.h, with their sizes. */
typedef struct { uint8_t data[64]; } key_t64;
typedef struct { uint8_t data[65]; } signature_t65;
typedef int parse_fn(const void *, signature_t65 *, const uint8_t *, int);
typedef int recover_fn(const void *, key_t64 *, const signature_t65 *, const uint8_t *);
typedef int serialize_fn(const void *, uint8_t *, size_t *, const key_t64 *, unsigned int);

static const void *context;
static parse_fn *parse;
static recover_fn *recover;
static serialize_fn *serialize;

static int address_of_signer(const uint8_t *digest, const uint8_t *signature, uint8_t *address)
{
    signature_t65 parsed;
    key_t64 key;
    uint8_t encoded[PUBLIC_KEY], hash[32];
    size_t size = sizeof encoded;
    if (signature[64] > 1 || !parse(context, &parsed, signature, signature[64])
        || !recover(context, &key, &parsed, digest)
        || !serialize(context, encoded, &size, &key, UNCOMPRESSED) || size != sizeof encoded)
        return 0;
    keccak256(encoded + 1, sizeof encoded - 1, hash);
    memcpy(address, hash + 12, ADDRESS);
    return 1;
}

static PyObject *py_bind_secp256k1(PyObject *self, PyObject *args)
{
    (void)self;
    Py_ssize_t places[4];
    if (!PyArg_ParseTuple(args, "nnnn", places, places + 1, places + 2, places + 3))
        return NULL;
    for (int i = 0; i < 4; i++) {
        if (places[i] == 0) {
            PyErr_SetString(PyExc_ValueError, "the address of a function of libsecp256k1 is zero");
            return NULL;
        }
    }
    context = (const void *)places[0];
    parse = (parse_fn *)places[1];
    recover = (recover_fn *)places[2];
    serialize = (serialize_fn *)places[3];
    Py_RETURN_NONE;
}

static PyObject *listed(const uint8_t *addresses, const uint8_t *found, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *item;
        if (found[i]) {
            item = PyBytes_FromStringAndSize((const char *)addresses + ADDRESS * i, ADDRESS);
            if (item == NULL) {
                Py_CLEAR(list);
                break;
            }
        } else {
            item = Py_None;
            Py_INCREF(item);
        }
        PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static PyObject *py_recover_addresses(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer digests, signatures;
    if (!PyArg_ParseTuple(args, "y*y*", &digests, &signatures))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t count = digests.len / DIGEST;
    if (recover == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "bind_secp256k1 comes first");
    } else if (digests.len % DIGEST || signatures.len % SIGNATURE || signatures.len / SIGNATURE != count) {
        PyErr_SetString(PyExc_ValueError, "as many digests of 32 bytes as signatures of 65 are needed");
    } else {
        uint8_t *memory = PyMem_RawMalloc((size_t)count * (ADDRESS + 1) + 1);
        if (memory == NULL) {
            PyErr_NoMemory();
        } else {
            uint8_t *found = memory + count * ADDRESS;
            const uint8_t *digest = digests.buf, *signature = signatures.buf;
            Py_BEGIN_ALLOW_THREADS;
            for (Py_ssize_t i = 0; i < count; i++)
                found[i] = (uint8_t)address_of_signer(
                    digest + DIGEST * i, signature + SIGNATURE * i, memory + ADDRESS * i);
            Py_END_ALLOW_THREADS;
            result = listed(memory, found, count);
            PyMem_RawFree(memory);
        }
    }
    PyBuffer_Release(&digests);
    PyBuffer_Release(&signatures);
    return result;
}

/* Whose transactions these are: digests and signatures are taken from the encodings, outside the lock too. */
static PyObject *py_recover_senders(PyObject *self, PyObject *encodings)
{
    (void)self;
    if (recover == NULL || !PyList_Check(encodings)) {
        PyErr_SetString(PyExc_RuntimeError, "bind_secp256k1 comes first, then a list");
        return NULL;
    }
    PyObject *items = PyList_AsTuple(encodings); /* keeps every encoding alive and in its place */
    Py_ssize_t count = items == NULL ? 0 : PyTuple_GET_SIZE(items);
    uint8_t *memory = PyMem_RawMalloc((size_t)count * (ADDRESS + 1) + 1);
    PyObject *result = NULL;
    int strange = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        strange |= !PyBytes_Check(PyTuple_GET_ITEM(items, i));
    if (items == NULL || memory == NULL || strange) {
        if (!PyErr_Occurred())
            PyErr_SetString(strange ? PyExc_TypeError : PyExc_MemoryError, "transactions are bytes");
    } else {
        uint8_t *found = memory + count * ADDRESS;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < count; i++) {
            PyObject *item = PyTuple_GET_ITEM(items, i);
            transaction tx;
            uint8_t digest[DIGEST];
            if (!transaction_parse((const uint8_t *)PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item), &tx)
                || !transaction_digest(&tx, digest)) {
                strange = 1;
                break;
            }
            found[i] = (uint8_t)address_of_signer(digest, tx.signature, memory + ADDRESS * i);
        }
        Py_END_ALLOW_THREADS;
        if (strange)
            PyErr_SetString(PyExc_ValueError, "a transaction that is not decoded in C");
        else
            result = listed(memory, found, count);
    }
    PyMem_RawFree(memory);
    Py_XDECREF(items);
    return result;
}

PyMethodDef recover_methods[] = {
    {"bind_secp256k1", py_bind_secp256k1, METH_VARARGS, "Take libsecp256k1's context and functions."},
    {"recover_addresses", py_recover_addresses, METH_VARARGS, "Signers of a batch; None where there is none."},
    {"recover_senders", py_recover_senders, METH_O, "Senders of encoded transactions; None where there is none."},
    {NULL, NULL, 0, NULL},
};
