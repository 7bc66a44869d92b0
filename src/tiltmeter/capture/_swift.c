/* The hot part of capture, compiled: the same as `Exchange` and `SpoolWriter._put` do for a plain request.

   Python decides, this follows. Whatever is not plain (an id or trace sent by the client, a body in pieces, an answer of
   400 and above, the first record of a segment, no room) goes to the Python methods of the same object, whose attributes
   live in the structures below. Where no compiled form is installed, those methods do everything. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { MARK = 8, HEAD = 20, FRAME_ROOM = 64, MOST_TEXT = 1024, ERROR_FROM = 400, FIELDS = 22 };
static const Py_ssize_t MAX_PAYLOAD = 64 * 1024 * 1024;
static const char TAG[] = "request/1";

/* Interned names, and what `connect` was given. */
static PyObject *s_acquire, *s_release, *s_set, *s_type, *s_status, *s_headers, *s_body, *s_more_body, *s_start, *s_piece;
static PyObject *s_route, *s_root_path, *s_fastapi, *s_method, *s_path, *s_methods, *s_effective, *s_original_route;
static PyObject *s_path_format, *s_looked_for, *s_max_body, *s_model, *s_models, *s_fixed_version, *s_reduces, *s_sampling;
static PyObject *s_put, *s_torn, *s_sent_id, *s_begin_answer, *s_see_piece, *s_send_slowly, *s_keep_answer, *s_went_wrong;
static PyObject *s_see_body, *s_receive_slowly, *s_reduced_bodies, *s_id_header, *s_unmatched, *s_empty_text, *s_empty_bytes;
static PyObject *current_note, *new_ids, *new_id, *method_names;

#include "_swift_spool.h"

/* ---- Passage: the plain course of an Exchange ---- */

typedef struct {
    PyObject_HEAD
    PyObject *options, *writer, *scope, *receive, *send, *outer_root, *body, *answer, *said, *request_id;
    long long started_ns, time_us, status;
    char done, open, is_plain;
} Passage;

#define EACH_OBJECT(F) F(options) F(writer) F(scope) F(receive) F(send) F(outer_root) F(body) F(answer) F(said) F(request_id)

static long long nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void replace_object(PyObject **place, PyObject *value)
{
    PyObject *before = *place;
    Py_INCREF(value);
    *place = value;
    Py_XDECREF(before);
}

static PyObject *fresh_id(void)
{
    Py_ssize_t last = PyList_GET_SIZE(new_ids) - 1;
    if (last < 0)
        return PyObject_CallNoArgs(new_id);
    PyObject *taken = PyList_GET_ITEM(new_ids, last);
    Py_INCREF(taken);
    if (PyList_SetSlice(new_ids, last, last + 1, NULL) < 0)
        Py_CLEAR(taken);
    return taken;
}

/* 1 when one of the headers is among the names, 0 when none is, -1 on an error. */
static int says_one_of(PyObject *names, PyObject *headers)
{
    PyObject *listed = PySequence_Fast(headers, "headers are no sequence");
    int found = listed ? 0 : -1;
    for (Py_ssize_t at = 0; found == 0 && at < PySequence_Fast_GET_SIZE(listed); at++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(listed, at);
        PyObject *name = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2 ? PyTuple_GET_ITEM(pair, 0) : NULL;
        found = name ? PySequence_Contains(names, name) : 1;  /* odd pairs are for Python */
    }
    Py_XDECREF(listed);
    return found;
}

static int passage_init(Passage *self, PyObject *args, PyObject *named)
{
    static char *names[] = {"options", "writer", "scope", "receive", "send", NULL};
    PyObject *options, *writer, *scope, *receive, *send;
    self->started_ns = nanoseconds(CLOCK_MONOTONIC);
    self->time_us = nanoseconds(CLOCK_REALTIME) / 1000;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOO!OO", names, &options, &writer, &PyDict_Type, &scope, &receive, &send))
        return -1;
    replace_object(&self->options, options);
    replace_object(&self->writer, writer);
    replace_object(&self->scope, scope);
    replace_object(&self->receive, receive);
    replace_object(&self->send, send);
    PyObject *root = PyDict_GetItemWithError(scope, s_root_path);
    PyObject *headers = PyDict_GetItemWithError(scope, s_headers);
    if (!headers) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, s_headers);
        return -1;
    }
    replace_object(&self->outer_root, root ? root : s_empty_text);
    replace_object(&self->body, s_empty_bytes);
    replace_object(&self->answer, s_empty_bytes);
    replace_object(&self->said, Py_None);
    self->status = 0;
    self->done = 0;
    self->open = self->is_plain = 1;
    PyObject *looked_for = PyObject_GetAttr(options, s_looked_for);
    if (!looked_for)
        return -1;
    int sent = says_one_of(looked_for, headers);
    Py_DECREF(looked_for);
    if (sent < 0)
        return -1;
    PyObject *id = sent ? PyObject_CallMethodOneArg((PyObject *)self, s_sent_id, headers) : fresh_id();
    if (!id)
        return -1;
    Py_XSETREF(self->request_id, id);
    PyObject *token = PyContextVar_Set(current_note, (PyObject *)self);
    Py_XDECREF(token);
    return token ? 0 : -1;
}

/* 1 when done here, 0 when the answer's head is for Python, -1 on an error. */
static int begin_answer(Passage *self, PyObject *message)
{
    PyObject *status = PyDict_GetItemWithError(message, s_status);
    PyObject *headers = PyDict_GetItemWithError(message, s_headers);
    if (!status || !PyLong_CheckExact(status) || !headers || !PyList_CheckExact(headers))
        return PyErr_Occurred() ? -1 : 0;
    long number = PyLong_AsLong(status);
    if (number < 0)
        return PyErr_Occurred() ? -1 : 0;
    Py_ssize_t count = PyList_GET_SIZE(headers);
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *pair = PyList_GET_ITEM(headers, at);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)))
            return 0;
        PyObject *name = PyTuple_GET_ITEM(pair, 0);
        Py_ssize_t size = PyBytes_GET_SIZE(name);
        if ((size == 12 && !memcmp(PyBytes_AS_STRING(name), "x-request-id", 12))
            || (size == 16 && !memcmp(PyBytes_AS_STRING(name), "content-encoding", 16)))
            return 0;
    }
    PyObject *value = PyUnicode_AsUTF8String(self->request_id);
    PyObject *pair = value ? PyTuple_Pack(2, s_id_header, value) : NULL;
    PyObject *all = pair ? PyList_New(count + 1) : NULL;
    Py_XDECREF(value);
    if (!all) {
        Py_XDECREF(pair);
        return -1;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *each = PyList_GET_ITEM(headers, at);
        Py_INCREF(each);
        PyList_SET_ITEM(all, at, each);
    }
    PyList_SET_ITEM(all, count, pair);
    int stored = PyDict_SetItem(message, s_headers, all);
    Py_DECREF(all);
    self->status = number;
    return stored < 0 ? -1 : 1;
}

/* The route's template as a new reference; NULL without an error when it is for Python. */
static PyObject *plain_route(Passage *self)
{
    PyObject *root = PyDict_GetItemWithError(self->scope, s_root_path);
    if (root != self->outer_root) {
        if (!root || !PyUnicode_CheckExact(root) || !PyUnicode_CheckExact(self->outer_root)
            || PyUnicode_Compare(root, self->outer_root) != 0) {
            if (root || PyUnicode_GET_LENGTH(self->outer_root) > 0)
                return NULL;
        }
    }
    PyObject *route = PyDict_GetItemWithError(self->scope, s_route);
    if (!route || route == Py_None) {
        Py_INCREF(s_unmatched);
        return s_unmatched;
    }
    PyObject *extras = PyDict_GetItemWithError(self->scope, s_fastapi);
    if (extras && PyDict_CheckExact(extras)) {
        PyObject *effective = PyDict_GetItemWithError(extras, s_effective);
        if (effective && effective != Py_None) {
            PyObject *original = PyObject_GetAttr(effective, s_original_route);
            int is_its_own = original == route;
            Py_XDECREF(original);
            return is_its_own ? PyObject_GetAttr(effective, s_path_format) : NULL;
        }
    }
    else if (extras)
        return NULL;
    PyObject *methods = PyObject_GetAttr(route, s_methods);
    if (!methods)
        return NULL;
    Py_DECREF(methods);
    return PyObject_GetAttr(route, s_path);
}

enum { MODEL, VERSION, METHOD, ROUTE, ID, TEXTS };

typedef struct {
    PyObject *route, *model, *version, *models, *reduces, *sampling, *method, *request, *response;
    const char *text[TEXTS];
    Py_ssize_t size[TEXTS];
} Parts;

static const char *text_of(PyObject *text, Py_ssize_t *size)
{
    if (!text || !PyUnicode_CheckExact(text))
        return NULL;
    const char *found = PyUnicode_AsUTF8AndSize(text, size);
    return found && *size <= MOST_TEXT ? found : NULL;
}

/* The frame of a plain request, its head still to be filled; NULL with or without an error otherwise. */
static PyObject *plain_frame(Passage *self, const Parts *parts, long long duration_us, int is_reduced)
{
    unsigned char front[TEXTS * MOST_TEXT + 128], back[64], *at = front, *end = back;
    Py_ssize_t asked = PyBytes_GET_SIZE(self->body), answered = PyBytes_GET_SIZE(self->answer);
    Py_ssize_t request = PyBytes_GET_SIZE(parts->request), response = PyBytes_GET_SIZE(parts->response);
    double sampling = PyFloat_AsDouble(parts->sampling);
    if (sampling == -1.0 && PyErr_Occurred())
        return NULL;
    if (request + response > MAX_PAYLOAD)
        return NULL;

    *at++ = 0xDC;
    at = put_big(at, FIELDS, 2);
    at = put_text(at, TAG, sizeof TAG - 1);
    at = put_count(at, (uint64_t)self->time_us);
    for (int each = MODEL; each <= ROUTE; each++)
        at = put_text(at, parts->text[each], parts->size[each]);
    at = put_count(at, (uint64_t)self->status);
    at = put_count(at, (uint64_t)(duration_us < 0 ? 0 : duration_us));
    at = put_text(at, parts->text[ID], parts->size[ID]);
    memset(at, 0xC0, 5);  /* client_request_id, trace_id, span_id, requester, error_type */
    at = put_float(at + 5, sampling);
    at = put_sized(at, (uint64_t)request, 0xC4);
    unsigned char between[8], *middle = put_sized(between, (uint64_t)response, 0xC4);
    end = put_count(end, (uint64_t)asked);
    end = put_count(end, (uint64_t)answered);
    *end++ = 0xA0;  /* response_encoding */
    *end++ = is_reduced ? 0xC3 : 0xC2;
    *end++ = 0xC0;  /* logged */

    Py_ssize_t total = HEAD + (at - front) + request + (middle - between) + response + (end - back);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, total);
    if (!frame)
        return NULL;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(frame) + HEAD;
    memcpy(to, front, (size_t)(at - front));
    to += at - front;
    memcpy(to, PyBytes_AS_STRING(parts->request), (size_t)request);
    to += request;
    memcpy(to, between, (size_t)(middle - between));
    to += middle - between;
    memcpy(to, PyBytes_AS_STRING(parts->response), (size_t)response);
    memcpy(to + response, back, (size_t)(end - back));
    return frame;
}

/* Bodies as privacy leaves them: 1 and new references, or -1. */
static int reduced_bodies(Passage *self, Parts *parts)
{
    PyObject *both = PyObject_CallMethodNoArgs((PyObject *)self, s_reduced_bodies);
    if (!both)
        return -1;
    if (!PyArg_ParseTuple(both, "SS", &parts->request, &parts->response)) {
        parts->request = parts->response = NULL;
        Py_DECREF(both);
        return -1;
    }
    Py_INCREF(parts->request);
    Py_INCREF(parts->response);
    Py_DECREF(both);
    return 1;
}

static int gather(Passage *self, Parts *parts)
{
    parts->models = PyObject_GetAttr(self->options, s_models);
    parts->model = PyObject_GetAttr(self->options, s_model);
    parts->version = PyObject_GetAttr(self->options, s_fixed_version);
    parts->reduces = PyObject_GetAttr(self->options, s_reduces);
    parts->sampling = PyObject_GetAttr(self->options, s_sampling);
    if (!parts->models || !parts->model || !parts->version || !parts->reduces || !parts->sampling)
        return -1;
    if (!PyDict_CheckExact(parts->models) || PyDict_GET_SIZE(parts->models) || !PyUnicode_CheckExact(parts->version))
        return 0;
    parts->method = PyDict_GetItemWithError(self->scope, s_method);
    Py_XINCREF(parts->method);
    if (!parts->method || PySet_Contains(method_names, parts->method) != 1)
        return PyErr_Occurred() ? -1 : 0;
    parts->route = plain_route(self);
    PyObject *texts[TEXTS] = {parts->model, parts->version, parts->method, parts->route, self->request_id};
    for (int each = 0; each < TEXTS; each++)
        if (!(parts->text[each] = text_of(texts[each], &parts->size[each])))
            return 0;
    return parts->size[MODEL] > 0 && parts->size[ROUTE] > 0;
}

/* 1 when the record is kept, 0 when it is for Python and nothing happened, -1 on an error. */
static int keep_plain(Passage *self)
{
    if (!self->is_plain || self->said != Py_None || !PyObject_TypeCheck(self->writer, &PenType))
        return 0;
    long long duration_us = (nanoseconds(CLOCK_MONOTONIC) - self->started_ns) / 1000;
    Parts parts = {0};
    PyObject *frame = NULL;
    int kept = gather(self, &parts);
    if (kept == 1) {
        if (parts.reduces == Py_True)
            kept = reduced_bodies(self, &parts);
        else {
            Py_INCREF(parts.request = self->body);
            Py_INCREF(parts.response = self->answer);
        }
    }
    if (kept == 1) {
        frame = plain_frame(self, &parts, duration_us, parts.reduces == Py_True);
        kept = frame ? 1 : 0;
    }
    if (kept == 1) {
        self->open = 0;
        long long position = append((Pen *)self->writer, frame);
        if (position == 0) {
            PyObject *payload = PyBytes_FromStringAndSize(PyBytes_AS_STRING(frame) + HEAD, PyBytes_GET_SIZE(frame) - HEAD);
            PyObject *put = payload ? PyObject_CallMethodOneArg(self->writer, s_put, payload) : NULL;
            Py_XDECREF(payload);
            Py_XDECREF(put);
            position = put ? 1 : -1;
        }
        kept = position < 0 ? -1 : 1;
        replace_object(&self->body, s_empty_bytes);
        replace_object(&self->answer, s_empty_bytes);
    }
    Py_XDECREF(frame);
    Py_XDECREF(parts.route);
    Py_XDECREF(parts.model);
    Py_XDECREF(parts.version);
    Py_XDECREF(parts.models);
    Py_XDECREF(parts.reduces);
    Py_XDECREF(parts.sampling);
    Py_XDECREF(parts.method);
    Py_XDECREF(parts.request);
    Py_XDECREF(parts.response);
    if (kept == 0)
        PyErr_Clear();
    return kept;
}

/* Hand the error of this moment to Python, which counts it. */
static int went_wrong(Passage *self)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    PyObject *told = PyObject_CallMethodOneArg((PyObject *)self, s_went_wrong, error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    Py_XDECREF(told);
    return told ? 1 : -1;
}

/* Bytes that are kept of one body; -1 when that cannot be said. */
static Py_ssize_t most_of(Passage *self)
{
    PyObject *most = PyObject_GetAttr(self->options, s_max_body);
    Py_ssize_t limit = most ? PyLong_AsSsize_t(most) : -1;
    Py_XDECREF(most);
    if (PyErr_Occurred())
        PyErr_Clear();
    return limit;
}

/* Take one piece of the answer; with the last one the record is kept. -1 on an error. */
static int see_piece(Passage *self, PyObject *message)
{
    PyObject *body = PyDict_GetItemWithError(message, s_body);
    if (body && PyBytes_CheckExact(body) && PyBytes_GET_SIZE(self->answer) == 0
        && PyBytes_GET_SIZE(body) <= most_of(self)) {
        replace_object(&self->answer, body);
        body = NULL;
    }
    if (body) {
        PyObject *seen = PyObject_CallMethodOneArg((PyObject *)self, s_see_piece, message);
        if (!seen)
            return -1;
        Py_DECREF(seen);
    }
    PyObject *more = PyDict_GetItemWithError(message, s_more_body);
    int goes_on = more ? PyObject_IsTrue(more) : 0;
    if (goes_on)
        return goes_on < 0 ? -1 : 0;
    self->done = 1;
    int kept = self->status < ERROR_FROM ? keep_plain(self) : 0;
    if (kept < 0)
        return went_wrong(self);
    if (kept == 0) {
        PyObject *done = PyObject_CallMethodNoArgs((PyObject *)self, s_keep_answer);
        if (!done)
            return -1;
        Py_DECREF(done);
    }
    return 0;
}

static int is_text(PyObject *text, PyObject *wanted)
{
    return text == wanted || (PyUnicode_CheckExact(text) && PyUnicode_Compare(text, wanted) == 0);
}

static PyObject *passage_send(Passage *self, PyObject *message)
{
    if (!self->done) {
        PyObject *kind = PyDict_CheckExact(message) ? PyDict_GetItemWithError(message, s_type) : NULL;
        if (kind && is_text(kind, s_start)) {
            int begun = begin_answer(self, message);
            PyErr_Clear();  /* Python tries again, and counts */
            if (begun != 1) {
                PyObject *head = PyObject_CallMethodOneArg((PyObject *)self, s_begin_answer, message);
                if (!head)
                    return NULL;
                Py_DECREF(head);
            }
        }
        else if (kind && is_text(kind, s_piece)) {
            if (see_piece(self, message) < 0)
                return NULL;
        }
        else
            return PyErr_Occurred() ? NULL : PyObject_CallMethodOneArg((PyObject *)self, s_send_slowly, message);
    }
    return PyObject_CallOneArg(self->send, message);
}

#include "_swift_receive.h"

static int passage_traverse(Passage *self, visitproc visit, void *arg)
{
#define VISIT(name) Py_VISIT(self->name);
    EACH_OBJECT(VISIT)
    return 0;
}

static int passage_clear(Passage *self)
{
#define CLEAR(name) Py_CLEAR(self->name);
    EACH_OBJECT(CLEAR)
    return 0;
}

static void passage_dealloc(Passage *self)
{
    PyObject_GC_UnTrack(self);
    passage_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMemberDef passage_members[] = {
    OBJECT(Passage, "_options", options), OBJECT(Passage, "_writer", writer), OBJECT(Passage, "_scope", scope),
    OBJECT(Passage, "_receive", receive), OBJECT(Passage, "_send", send), OBJECT(Passage, "_outer_root", outer_root),
    OBJECT(Passage, "_body", body), OBJECT(Passage, "_answer", answer), OBJECT(Passage, "said", said),
    OBJECT(Passage, "_request_id", request_id), NUMBER(Passage, "_started_ns", started_ns),
    NUMBER(Passage, "_time_us", time_us), NUMBER(Passage, "_status", status), TRUTH(Passage, "done", done),
    TRUTH(Passage, "open", open), TRUTH(Passage, "_is_plain", is_plain), {NULL}};

static PyMethodDef passage_methods[] = {
    {"receive", (PyCFunction)passage_receive, METH_NOARGS, "The server's next message; see Exchange."},
    {"send", (PyCFunction)passage_send, METH_O, "Pass the application's message on; see Exchange."}, {NULL}};

static PyTypeObject PassageType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiltmeter.capture._swift.Passage",
    .tp_doc = "The plain course of an Exchange.",
    .tp_basicsize = sizeof(Passage),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)passage_init,
    .tp_traverse = (traverseproc)passage_traverse,
    .tp_clear = (inquiry)passage_clear,
    .tp_dealloc = (destructor)passage_dealloc,
    .tp_members = passage_members,
    .tp_methods = passage_methods,
};

/* ---- the module ---- */

static PyObject *connect(PyObject *module, PyObject *args)
{
    PyObject *note, *ids, *make, *methods;
    if (!PyArg_ParseTuple(args, "OO!OO!", &note, &PyList_Type, &ids, &make, &PyFrozenSet_Type, &methods))
        return NULL;
    replace_object(&current_note, note);
    replace_object(&new_ids, ids);
    replace_object(&new_id, make);
    replace_object(&method_names, methods);
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"connect", connect, METH_VARARGS, "Context variable, list of new ids, what makes one, names of HTTP methods."},
    {NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_swift", "The hot part of capture, compiled.", -1, module_methods};

static const struct { PyObject **place; const char *text; } NAMES[] = {
    {&s_acquire, "acquire"}, {&s_release, "release"}, {&s_set, "set"}, {&s_type, "type"}, {&s_status, "status"},
    {&s_headers, "headers"}, {&s_body, "body"}, {&s_more_body, "more_body"}, {&s_start, "http.response.start"},
    {&s_piece, "http.response.body"}, {&s_route, "route"}, {&s_root_path, "root_path"}, {&s_fastapi, "fastapi"},
    {&s_method, "method"}, {&s_path, "path"}, {&s_methods, "methods"}, {&s_effective, "effective_route_context"},
    {&s_original_route, "original_route"}, {&s_path_format, "path_format"}, {&s_looked_for, "looked_for"},
    {&s_max_body, "max_body"}, {&s_model, "model"}, {&s_models, "models"}, {&s_fixed_version, "fixed_version"},
    {&s_reduces, "reduces"}, {&s_sampling, "sampling"}, {&s_put, "_put"}, {&s_torn, "_torn"},
    {&s_sent_id, "_sent_id"}, {&s_begin_answer, "_begin_answer"}, {&s_see_piece, "_see_piece"},
    {&s_send_slowly, "_send_slowly"}, {&s_keep_answer, "_keep_answer"}, {&s_went_wrong, "_went_wrong"},
    {&s_see_body, "_see_body"}, {&s_receive_slowly, "_receive_slowly"},
    {&s_reduced_bodies, "_reduced_bodies"}, {&s_unmatched, "(unmatched)"}, {&s_empty_text, ""}};

PyMODINIT_FUNC PyInit__swift(void)
{
    fill_crc_table();
    for (size_t at = 0; at < sizeof NAMES / sizeof *NAMES; at++)
        if (!(*NAMES[at].place = PyUnicode_InternFromString(NAMES[at].text)))
            return NULL;
    if (!(s_id_header = PyBytes_FromString("x-request-id")) || !(s_empty_bytes = PyBytes_FromString("")))
        return NULL;
    if (PyType_Ready(&SegmentType) < 0 || PyType_Ready(&PenType) < 0 || PyType_Ready(&PassageType) < 0
        || PyType_Ready(&ReceptionType) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&module_definition);
    if (!module || PyModule_AddObjectRef(module, "BegunSegment", (PyObject *)&SegmentType) < 0
        || PyModule_AddObjectRef(module, "Pen", (PyObject *)&PenType) < 0
        || PyModule_AddObjectRef(module, "Passage", (PyObject *)&PassageType) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
