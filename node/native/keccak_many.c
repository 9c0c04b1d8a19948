/* Keccak-256 of many messages: four states side by side in vectors, where the processor has AVX2. */

#include "keccak.h"

#if defined(__x86_64__) && defined(__GNUC__)

enum { WIDTH = 4 };

typedef uint64_t lanes4 __attribute__((vector_size(8 * WIDTH)));
#define LANE lanes4
#include "keccak_rounds.h"

#define WITH_AVX2 __attribute__((target("avx2")))

/* One of the states: the message that it takes in. */
typedef struct {
    const uint8_t *at; /* what of the message is left, and how much */
    size_t left;
    uint8_t *output; /* NULL: the state is free */
    int is_last; /* the block that goes in next ends the message */
    uint8_t padded[RATE];
} seat;

/* The next message for a state that is free; 0 when there is none, or a message is in it already. */
static int take(seat *s, const keccak_job **jobs, const keccak_job *end)
{
    if (s->output != NULL || *jobs == end)
        return 0;
    s->at = (*jobs)->data;
    s->left = (*jobs)->size;
    s->output = (*jobs)->output;
    ++*jobs;
    return 1;
}

/* Where the next block lies; of a state that is free, bytes that nobody looks at. */
static const uint8_t *next_block(seat *s)
{
    const uint8_t *block = s->at;
    s->is_last = s->left < RATE;
    if (s->is_last) {
        if (s->output != NULL)
            keccak_pad(s->padded, s->at, s->left);
        return s->padded;
    }
    s->at += RATE;
    s->left -= RATE;
    return block;
}

static uint64_t word_at(const uint8_t *block, int index)
{
    uint64_t word;
    memcpy(&word, block + sizeof word * (size_t)index, sizeof word);
    return word;
}

WITH_AVX2 static void absorb(lanes4 a[LANES], seat seats[WIDTH])
{
    const uint8_t *p = next_block(seats), *q = next_block(seats + 1);
    const uint8_t *r = next_block(seats + 2), *s = next_block(seats + 3);
    for (int i = 0; i < RATE / 8; i++)
        a[i] ^= (lanes4){word_at(p, i), word_at(q, i), word_at(r, i), word_at(s, i)};
    all_rounds(a);
}

/* The digests of messages that have ended, and their states free. */
WITH_AVX2 static void give(const lanes4 a[LANES], seat seats[WIDTH])
{
    for (int n = 0; n < WIDTH; n++) {
        if (seats[n].output == NULL || !seats[n].is_last)
            continue;
        for (int i = 0; i < 4; i++) {
            uint64_t word = a[i][n];
            memcpy(seats[n].output + 8 * i, &word, sizeof word);
        }
        seats[n].output = NULL;
    }
}

WITH_AVX2 static void four_at_a_time(const keccak_job *jobs, const keccak_job *end)
{
    lanes4 a[LANES] = {0};
    seat seats[WIDTH] = {0};
    for (;;) {
        lanes4 kept = {0};
        int busy = 0, last = 0;
        for (int n = 0; n < WIDTH; n++) {
            kept[n] = take(&seats[n], &jobs, end) ? 0 : ~(uint64_t)0;
            if (seats[n].output != NULL) {
                busy++;
                last = n;
            }
        }
        for (int i = 0; i < LANES; i++)
            a[i] &= kept; /* a message begins with zeros */
        if (busy < 2) {
            /* One alone is quicker without vectors. */
            uint64_t alone[LANES];
            for (int i = 0; i < LANES; i++)
                alone[i] = a[i][last];
            if (busy)
                keccak_finish(alone, seats[last].at, seats[last].left, seats[last].output);
            return;
        }
        absorb(a, seats);
        give(a, seats);
    }
}

#endif

void keccak_many(const keccak_job *jobs, size_t count)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (count > 1 && __builtin_cpu_supports("avx2")) {
        four_at_a_time(jobs, jobs + count);
        return;
    }
#endif
    for (size_t i = 0; i < count; i++)
        keccak256(jobs[i].data, jobs[i].size, jobs[i].output);
}

/* --- Python */

/* New bytes for every digest, and the jobs that fill them; -1 with an exception. */
static int prepared(PyObject *messages, PyObject *digests, keccak_job *jobs)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(messages); i++) {
        PyObject *message = PyTuple_GET_ITEM(messages, i), *digest;
        if (!PyBytes_Check(message)) {
            PyErr_SetString(PyExc_TypeError, "messages are bytes");
            return -1;
        }
        if ((digest = PyBytes_FromStringAndSize(NULL, 32)) == NULL)
            return -1;
        PyList_SET_ITEM(digests, i, digest);
        jobs[i] = (keccak_job){
            (const uint8_t *)PyBytes_AS_STRING(message), (size_t)PyBytes_GET_SIZE(message),
            (uint8_t *)PyBytes_AS_STRING(digest)};
    }
    return 0;
}

static PyObject *py_keccak256_many(PyObject *self, PyObject *given)
{
    (void)self;
    PyObject *messages = PySequence_Tuple(given), *digests = NULL;
    if (messages == NULL)
        return NULL;
    size_t count = (size_t)PyTuple_GET_SIZE(messages);
    keccak_job *jobs = PyMem_Calloc(count + 1, sizeof *jobs);
    if (jobs == NULL)
        PyErr_NoMemory();
    else
        digests = PyList_New((Py_ssize_t)count);
    if (digests != NULL) {
        if (prepared(messages, digests, jobs) < 0)
            Py_CLEAR(digests);
        else
            keccak_many(jobs, count);
    }
    PyMem_Free(jobs);
    Py_DECREF(messages);
    return digests;
}

PyMethodDef keccak_many_methods[] = {
    {"keccak256_many", py_keccak256_many, METH_O, "Keccak-256 of each of many bytes objects."},
    {NULL, NULL, 0, NULL},
};
