/* Cold code, as node.execution.evm.interpret runs it: what is done there without a function of the opcode table,
 * and the commonest of that table on Python's own numbers.
 *
 * Whatever is unusual (a fault, too little gas, a call, memory that has to grow) is left to the same in Python,
 * at the instruction where it comes up and before anything of it is done. Prices are the table's. */

#include "interpret.h"

enum { JUMPS_MAX = 64, OPCODES = 256 };

static PyObject *in_python, *cold_type;
static PyObject *n_gas, *n_memory, *n_padded, *n_prices, *n_operations, *n_arrivals, *n_jumps, *n_few_runs,
    *n_hot_runs, *n_runs;

static outcome set_gas(machine *at)
{
    if (at->gas == at->gas_in_frame)
        return DONE;
    PyObject *gas = PyLong_FromLongLong(at->gas);
    int failed = gas == NULL || PyObject_SetAttr(at->frame, n_gas, gas) < 0;
    Py_XDECREF(gas);
    at->gas_in_frame = at->gas;
    return failed ? FAILED : DONE;
}

/* 0 with an exception, or where the number is too large to be of use. */
static int number_at(PyObject *owner, PyObject *name, long long *number)
{
    int overflow = 0;
    PyObject *value = PyObject_GetAttr(owner, name);
    *number = value == NULL ? -1 : PyLong_AsLongLongAndOverflow(value, &overflow);
    Py_XDECREF(value);
    return !overflow && !(*number == -1 && PyErr_Occurred());
}

/* Whether a block is to be interpreted once more, which is counted then; -1 for an error. */
static int is_cold(machine *at, PyObject *block)
{
    long long runs;
    if ((PyObject *)Py_TYPE(block) != cold_type || at->jumps_left == 0)
        return 0;
    if (!number_at(block, n_runs, &runs))
        return PyErr_Occurred() ? -1 : 0;
    if (runs >= at->hot_runs)
        return 0;
    PyObject *more = PyLong_FromLongLong(runs + 1);
    int failed = more == NULL || PyObject_SetAttr(block, n_runs, more) < 0;
    Py_XDECREF(more);
    return failed ? -1 : 1;
}

/* To the place on top of the stack; the price of the jump is paid, that of its JUMPDEST is not. */
static outcome take_jump(machine *at, int pops, int jumpdest_gas)
{
    PyObject *target = item(at, 0);
    Py_ssize_t place = place_of(target);
    uint8_t *arrivals = (uint8_t *)PyByteArray_AS_STRING(at->arrivals);
    at->jumps_left--;
    if (place >= 0 && place < PyByteArray_GET_SIZE(at->arrivals) && arrivals[place] < at->few_runs
        && at->jumps_left > 0) {
        arrivals[place]++;
    } else {
        PyObject *block = PyObject_GetItem(at->jumps, target);
        int cold = block == NULL ? -1 : is_cold(at, block);
        if (cold == 0) {
            drop(at, pops);
            at->next = block;
            return set_gas(at) == FAILED ? FAILED : ENDED;
        }
        Py_XDECREF(block);
        if (cold < 0)
            return FAILED;
    }
    drop(at, pops);
    at->gas -= jumpdest_gas;
    at->pc = place + 1;
    return DONE;
}

static outcome jump(machine *at, uint8_t opcode, const uint8_t *prices)
{
    int pops = opcode == JUMPI ? 2 : 1;
    if (height(at) < pops || at->gas < prices[opcode])
        return UNUSUAL;
    int taken = opcode == JUMPI ? PyObject_IsTrue(item(at, 1)) : 1;
    if (taken < 0)
        return FAILED;
    at->gas -= prices[opcode];
    if (taken)
        return take_jump(at, pops, prices[JUMPDEST]);
    drop(at, pops);
    at->pc++;
    return DONE;
}

/* A function of the opcode table, if the block goes on after it. */
static outcome operate(machine *at, uint8_t opcode)
{
    PyObject *operation = PyTuple_GET_ITEM(at->operations, opcode);
    if (operation == Py_None || at->gas < 0 || PyObject_IsTrue(PyTuple_GET_ITEM(operation, 1)))
        return UNUSUAL;
    if (set_gas(at) == FAILED)
        return FAILED;
    PyObject *arguments[] = {at->stack, at->frame};
    PyObject *result = PyObject_Vectorcall(PyTuple_GET_ITEM(operation, 0), arguments, 2, NULL);
    Py_XDECREF(result);
    if (result == NULL || !number_at(at->frame, n_gas, &at->gas))
        return FAILED;
    at->gas_in_frame = at->gas;
    at->pc++;
    return DONE;
}

/* --- the loop */

static int is_computed_here(uint8_t opcode)
{
    return (opcode >= ADD && opcode <= DIV) || (opcode >= LT && opcode <= NOT) || opcode == SHL || opcode == SHR;
}

static int moves_items(uint8_t opcode)
{
    return (opcode >= PUSH1 && opcode < LOG0) || opcode == POP || opcode == JUMPDEST || opcode == PC;
}

static outcome step(machine *at, const uint8_t *prices)
{
    uint8_t opcode = at->code[at->pc];
    outcome done = UNUSUAL;
    if (opcode == JUMP || opcode == JUMPI)
        return jump(at, opcode, prices);
    if (moves_items(opcode)) {
        done = interpret_items(at, opcode);
        if (done == UNUSUAL)
            return done;
    } else if (at->gas < prices[opcode] || prices[opcode] == 0) {
        done = UNUSUAL; /* it cannot be paid for, or is no instruction of this fork */
    } else if (is_computed_here(opcode)) {
        done = interpret_computation(at, opcode);
    } else if (opcode == MLOAD || opcode == MSTORE) {
        done = interpret_memory(at, opcode);
    }
    if (done == UNUSUAL)
        return operate(at, opcode);
    at->gas -= prices[opcode];
    at->pc++;
    return done;
}

static PyObject *run(machine *at)
{
    const uint8_t *prices = (const uint8_t *)PyBytes_AS_STRING(at->prices);
    outcome done = DONE;
    while (done == DONE && at->pc < at->size)
        done = step(at, prices);
    if (done == ENDED)
        return at->next;
    if (done == FAILED || set_gas(at) == FAILED)
        return NULL;
    PyObject *pc = PyLong_FromSsize_t(at->pc), *arguments[] = {at->program, pc, at->stack, at->frame};
    PyObject *next = pc == NULL ? NULL : PyObject_Vectorcall(in_python, arguments, 4, NULL);
    Py_XDECREF(pc);
    return next;
}

static void leave(machine *at)
{
    PyObject *held[] = {at->padded, at->prices, at->operations, at->arrivals, at->jumps, at->memory};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XDECREF(held[i]);
}

/* 0 where an attribute is missing or is not what it should be. */
static int enter(machine *at)
{
    long long few = 0, hot = 0;
    at->jumps_left = JUMPS_MAX;
    if ((at->padded = PyObject_GetAttr(at->program, n_padded)) == NULL
        || (at->prices = PyObject_GetAttr(at->program, n_prices)) == NULL
        || (at->operations = PyObject_GetAttr(at->program, n_operations)) == NULL
        || (at->arrivals = PyObject_GetAttr(at->program, n_arrivals)) == NULL
        || (at->jumps = PyObject_GetAttr(at->program, n_jumps)) == NULL
        || (at->memory = PyObject_GetAttr(at->frame, n_memory)) == NULL
        || !number_at(at->program, n_few_runs, &few) || !number_at(at->program, n_hot_runs, &hot))
        return 0;
    at->few_runs = (long)few;
    at->hot_runs = (long)hot;
    int fits = PyList_Check(at->stack) && PyBytes_Check(at->padded) && PyByteArray_Check(at->arrivals)
        && PyByteArray_Check(at->memory) && PyTuple_Check(at->operations) && PyBytes_Check(at->prices)
        && PyTuple_GET_SIZE(at->operations) == OPCODES && PyBytes_GET_SIZE(at->prices) == OPCODES;
    if (!fits) {
        PyErr_SetString(PyExc_TypeError, "a program, a stack and a frame are expected");
        return 0;
    }
    at->code = (const uint8_t *)PyBytes_AS_STRING(at->padded);
    at->size = PyBytes_GET_SIZE(at->padded) - WORD; /* a PUSH at the end has its bytes */
    return 1;
}

static PyObject *py_interpret(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    machine at = {0};
    PyObject *next = NULL;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "a program, a place, a stack and a frame are expected");
        return NULL;
    }
    at.program = args[0], at.stack = args[2], at.frame = args[3];
    at.pc = PyLong_AsSsize_t(args[1]);
    if (at.pc < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "no place in a program");
        return NULL;
    }
    if (!number_at(at.frame, n_gas, &at.gas))
        return PyErr_Occurred() ? NULL : PyObject_Vectorcall(in_python, args, 4, NULL); /* more than any block has */
    at.gas_in_frame = at.gas;
    if (enter(&at))
        next = run(&at);
    leave(&at);
    return next;
}

static PyObject *py_bind_interpreter(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *function, *cold;
    if (!PyArg_ParseTuple(args, "OO", &function, &cold))
        return NULL;
    const char *texts[] = {
        "gas", "memory", "padded", "prices", "operations", "arrivals", "jumps", "few_runs", "hot_runs", "runs",
    };
    PyObject **names[] = {
        &n_gas, &n_memory, &n_padded, &n_prices, &n_operations, &n_arrivals, &n_jumps, &n_few_runs, &n_hot_runs,
        &n_runs,
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i] == NULL && (*names[i] = PyUnicode_InternFromString(texts[i])) == NULL)
            return NULL;
    Py_XSETREF(in_python, Py_NewRef(function));
    Py_XSETREF(cold_type, Py_NewRef(cold));
    return interpret_words_prepare() ? Py_NewRef(Py_None) : NULL;
}

PyMethodDef interpret_methods[] = {
    {"bind_interpreter", py_bind_interpreter, METH_VARARGS, "Once, before `interpret`."},
    {"interpret", (PyCFunction)(void (*)(void))py_interpret, METH_FASTCALL, "Run cold code; what comes next."},
    {NULL, NULL, 0, NULL},
};
