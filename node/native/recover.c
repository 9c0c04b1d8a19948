/* Signers of many signatures in one call, outside the interpreter lock.
 *
 * libsecp256k1 is the one that came with coincurve: Python hands over the addresses of its functions once.
 * One call for a batch matters: beside a busy thread, winning the lock back after each signature costs a
 * hundred times the recovery. */

#include "transaction.h"

enum { DIGEST = 32, SIGNATURE = 65, PUBLIC_KEY = 64, ADDRESS = 20, UNCOMPRESSED = 2, AT_ONCE = 16 };

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

/* The public key that made a signature, 64 bytes; 0 where there is none. */
static int key_of_signer(const uint8_t *digest, const uint8_t *signature, uint8_t *public_key)
{
    signature_t65 parsed;
    key_t64 key;
    uint8_t encoded[1 + PUBLIC_KEY];
    size_t size = sizeof encoded;
    if (signature[64] > 1 || !parse(context, &parsed, signature, signature[64])
        || !recover(context, &key, &parsed, digest)
        || !serialize(context, encoded, &size, &key, UNCOMPRESSED) || size != sizeof encoded)
        return 0;
    memcpy(public_key, encoded + 1, PUBLIC_KEY);
    return 1;
}

/* How many of those that are left are looked at next. */
static size_t group_of(Py_ssize_t left)
{
    return left < AT_ONCE ? (size_t)left : AT_ONCE;
}

/* Addresses of at most AT_ONCE signers, whose keys are hashed side by side. */
static void find_signers(
    const uint8_t *digests, const uint8_t *signatures, size_t count, uint8_t *addresses, uint8_t *found)
{
    uint8_t keys[AT_ONCE][PUBLIC_KEY], hashes[AT_ONCE][DIGEST];
    keccak_job jobs[AT_ONCE];
    size_t waiting = 0;
    for (size_t i = 0; i < count; i++) {
        found[i] = (uint8_t)key_of_signer(digests + DIGEST * i, signatures + SIGNATURE * i, keys[i]);
        if (found[i])
            jobs[waiting++] = (keccak_job){keys[i], PUBLIC_KEY, hashes[i]};
    }
    keccak_many(jobs, waiting);
    for (size_t i = 0; i < count; i++)
        if (found[i])
            memcpy(addresses + ADDRESS * i, hashes[i] + DIGEST - ADDRESS, ADDRESS);
}

/* Digests and signatures of at most AT_ONCE encoded transactions; 0 where one is not decoded in C. */
static int take_apart(PyObject *const *items, size_t count, uint8_t *digests, uint8_t *signatures)
{
    enum { FEW = 512 };
    uint8_t messages[AT_ONCE][FEW];
    keccak_job jobs[AT_ONCE];
    size_t waiting = 0;
    for (size_t i = 0; i < count; i++) {
        transaction tx;
        uint8_t *digest = digests + DIGEST * i, *message = messages[i];
        if (!transaction_parse((const uint8_t *)PyBytes_AS_STRING(items[i]), (size_t)PyBytes_GET_SIZE(items[i]), &tx))
            return 0;
        memcpy(signatures + SIGNATURE * i, tx.signature, SIGNATURE);
        if (message_bytes_max(&tx) <= FEW) {
            jobs[waiting++] = (keccak_job){message, transaction_message(&tx, message), digest};
            continue;
        }
        if ((message = PyMem_RawMalloc(message_bytes_max(&tx))) == NULL)
            return 0;
        keccak256(message, transaction_message(&tx, message), digest);
        PyMem_RawFree(message);
    }
    keccak_many(jobs, waiting);
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
            for (Py_ssize_t i = 0; i < count; i += AT_ONCE)
                find_signers(
                    digest + DIGEST * i, signature + SIGNATURE * i, group_of(count - i), memory + ADDRESS * i,
                    found + i);
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
        for (Py_ssize_t i = 0; i < count && !strange; i += AT_ONCE) {
            uint8_t digests[AT_ONCE * DIGEST], signatures[AT_ONCE * SIGNATURE];
            size_t size = group_of(count - i);
            strange = !take_apart(((PyTupleObject *)items)->ob_item + i, size, digests, signatures);
            if (!strange)
                find_signers(digests, signatures, size, memory + ADDRESS * i, found + i);
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
