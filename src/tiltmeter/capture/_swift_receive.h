/* Part of _swift.c: Exchange.receive. */

/* What `receive` gives: awaits the server's message, and looks at it. Everything else is passed on to the server's. */

typedef struct {
    PyObject_HEAD
    PyObject *passage, *inner;
} Reception;

static int see_body(Passage *self, PyObject *message)
{
    PyObject *body = PyDict_CheckExact(message) ? PyDict_GetItemWithError(message, s_body) : NULL;
    if (body && PyBytes_CheckExact(body)) {
        if (PyBytes_GET_SIZE(body) == 0)
            return 0;
        if (self->body && PyBytes_GET_SIZE(self->body) == 0 && PyBytes_GET_SIZE(body) <= most_of(self)) {
            replace_object(&self->body, body);
            return 0;
        }
    }
    PyObject *seen = PyObject_CallMethodOneArg((PyObject *)self, s_see_body, message);
    Py_XDECREF(seen);
    return seen ? 0 : -1;
}

static PyObject *reception_step(Reception *self, PyObject *value)
{
    PyObject *given = NULL;
    PySendResult how = PyIter_Send(self->inner, value, &given);
    if (how != PYGEN_RETURN)
        return given;
    int seen = see_body((Passage *)self->passage, given);
    if (seen == 0) {  /* as the interpreter does it: a message must not be taken for arguments */
        PyObject *end = PyObject_CallOneArg(PyExc_StopIteration, given);
        if (end)
            PyErr_SetObject(PyExc_StopIteration, end);
        Py_XDECREF(end);
    }
    Py_DECREF(given);
    return NULL;
}

static PySendResult reception_am_send(Reception *self, PyObject *value, PyObject **given)
{
    PySendResult how = PyIter_Send(self->inner, value, given);
    if (how == PYGEN_RETURN && see_body((Passage *)self->passage, *given) < 0) {
        Py_CLEAR(*given);
        return PYGEN_ERROR;
    }
    return how;
}

static PyObject *reception_next(Reception *self)
{
    return reception_step(self, Py_None);
}

static PyObject *reception_throw(Reception *self, PyObject *args)
{
    PyObject *method = PyObject_GetAttrString(self->inner, "throw");
    PyObject *given = method ? PyObject_CallObject(method, args) : NULL;
    Py_XDECREF(method);
    if (given || !PyErr_ExceptionMatches(PyExc_StopIteration))
        return given;
    PyObject *type, *end, *trace;
    PyErr_Fetch(&type, &end, &trace);
    PyErr_NormalizeException(&type, &end, &trace);
    PyObject *message = PyObject_GetAttrString(end, "value");  /* the server caught it and answered after all */
    if (message && see_body((Passage *)self->passage, message) == 0)
        PyErr_Restore(type, end, trace);
    else {
        Py_XDECREF(type);
        Py_XDECREF(end);
        Py_XDECREF(trace);
    }
    Py_XDECREF(message);
    return NULL;
}

static PyObject *reception_close(Reception *self, PyObject *none)
{
    return PyObject_CallMethod(self->inner, "close", NULL);
}

static int reception_traverse(Reception *self, visitproc visit, void *arg)
{
    Py_VISIT(self->passage);
    Py_VISIT(self->inner);
    return 0;
}

static int reception_clear(Reception *self)
{
    Py_CLEAR(self->passage);
    Py_CLEAR(self->inner);
    return 0;
}

static void reception_dealloc(Reception *self)
{
    PyObject_GC_UnTrack(self);
    reception_clear(self);
    PyObject_GC_Del(self);
}

static PyObject *itself(PyObject *self)
{
    Py_INCREF(self);
    return self;
}

static PyAsyncMethods reception_async = {.am_await = itself, .am_send = (sendfunc)reception_am_send};

static PyMethodDef reception_methods[] = {
    {"send", (PyCFunction)reception_step, METH_O, "As a coroutine."},
    {"throw", (PyCFunction)reception_throw, METH_VARARGS, "As a coroutine."},
    {"close", (PyCFunction)reception_close, METH_NOARGS, "As a coroutine."}, {NULL}};

static PyTypeObject ReceptionType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiltmeter.capture._swift.Reception",
    .tp_doc = "A coroutine that gives the server's next message.",
    .tp_basicsize = sizeof(Reception),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)reception_traverse,
    .tp_clear = (inquiry)reception_clear,
    .tp_dealloc = (destructor)reception_dealloc,
    .tp_as_async = &reception_async,
    .tp_iter = itself,
    .tp_iternext = (iternextfunc)reception_next,
    .tp_methods = reception_methods,
};

static PyObject *passage_receive(Passage *self, PyObject *none)
{
    PyObject *inner = PyObject_CallNoArgs(self->receive);
    if (!inner)
        return NULL;
    if (!PyCoro_CheckExact(inner)) {  /* some other awaitable: Python knows them all */
        PyObject *awaited = PyObject_CallMethodOneArg((PyObject *)self, s_receive_slowly, inner);
        Py_DECREF(inner);
        return awaited;
    }
    Reception *reception = PyObject_GC_New(Reception, &ReceptionType);
    if (!reception) {
        Py_DECREF(inner);
        return NULL;
    }
    Py_INCREF(self);
    reception->passage = (PyObject *)self;
    reception->inner = inner;
    PyObject_GC_Track(reception);
    return (PyObject *)reception;
}
