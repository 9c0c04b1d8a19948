/* What interpret.c and interpret_words.c share: cold code as it runs. */

#ifndef PHOENIX_INTERPRET_H
#define PHOENIX_INTERPRET_H

#include "kernels.h"

enum {
    ADD = 0x01, MUL, SUB, DIV, LT = 0x10, GT, SLT, SGT, EQ, ISZERO, AND, OR, XOR, NOT, SHL = 0x1B, SHR,
    POP = 0x50, MLOAD, MSTORE, JUMP = 0x56, JUMPI, PC, JUMPDEST = 0x5B, PUSH1 = 0x60, DUP1 = 0x80, SWAP1 = 0x90,
    LOG0 = 0xA0
};
enum { WORD = 32 };

/* What became of an instruction. */
typedef enum { FAILED, UNUSUAL, DONE, ENDED } outcome;

typedef struct {
    PyObject *program, *stack, *frame;
    PyObject *padded, *prices, *operations, *arrivals, *jumps, *memory;
    PyObject *next; /* what runs after this, once it ENDED */
    const uint8_t *code;
    Py_ssize_t pc, size;
    long long gas, gas_in_frame;
    long few_runs, hot_runs;
    int jumps_left;
} machine;

/* --- the stack */

static inline Py_ssize_t height(const machine *at)
{
    return PyList_GET_SIZE(at->stack);
}

/* Borrowed; 0 is the top. */
static inline PyObject *item(const machine *at, Py_ssize_t below)
{
    return PyList_GET_ITEM(at->stack, height(at) - 1 - below);
}

/* As list.pop does: what was reserved for the item stays reserved. */
static inline void drop(machine *at, int count)
{
    for (; count > 0; count--) {
        PyObject *top = item(at, 0);
        Py_SET_SIZE((PyVarObject *)at->stack, height(at) - 1);
        Py_DECREF(top);
    }
}

/* The place that a word names, or -1 for one that is far beyond whatever there is. */
static inline Py_ssize_t place_of(PyObject *word)
{
    int overflow;
    long long place = PyLong_AsLongLongAndOverflow(word, &overflow);
    return overflow || place > PY_SSIZE_T_MAX / 2 ? -1 : (Py_ssize_t)place;
}

/* interpret_words.c: one of its instructions but for its gas and where it goes on. UNUSUAL: nothing is done. */
outcome interpret_items(machine *at, uint8_t opcode);
outcome interpret_computation(machine *at, uint8_t opcode);
outcome interpret_memory(machine *at, uint8_t opcode);
int interpret_words_prepare(void);

#endif
