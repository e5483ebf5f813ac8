"""A kernel of a few types, for tests that do not hang on the one that is here."""

from __future__ import annotations

from bpfheap.btf import (
    Array,
    BtfBuilder,
    Datasec,
    DeclTag,
    Float,
    Func,
    FuncProto,
    Int,
    LazyBtf,
    Member,
    Param,
    Ptr,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
)
from bpfheap.btf.raw import encode_types


class SmallKernel:
    """`struct task` has pid at 0, comm at 4 (16 bytes), parent at 24, user at 32 (in user space),
    raw at 40 (void *), rcu at 48 (tagged), a union of a pointer (owner) and a number at 56, and
    data without an end from 64 on. A task's parent is safe in RCU sections, and so is its owner,
    which may be NULL; rcu is trusted, if it is not NULL."""

    def __init__(self, *, of_modules: bool = False, trusted_parents: bool = False) -> None:
        """`of_modules`: everything is in a module. `trusted_parents`: parents are as trusted as the
        task."""
        b = BtfBuilder()
        self._b = b
        self.int = b.add(Int("int", 4, 1, 0, 32))
        self.char = b.add(Int("char", 1, 0, 0, 8))
        self.long = b.add(Int("long", 8, 1, 0, 64))
        name = b.add(Array(self.char, self.int, 16))
        tail = b.add(Array(self.int, self.int, 0))
        task = self.task = len(b._types) + 8
        to_task = b.add(Ptr(task))
        to_user = b.add(Ptr(b.add(TypeTag("user", task))))
        to_rcu = b.add(Ptr(b.add(TypeTag("rcu", task))))
        void = self.void = b.add(Ptr(0))
        either = b.add(Union("", 8, (Member("owner", to_task, 0), Member("number", self.long, 0))))
        b.add(Ptr(void))
        made = b.add(Struct("task", 64, (
            Member("pid", self.int, 0), Member("comm", name, 32), Member("parent", to_task, 192),
            Member("user", to_user, 256), Member("raw", void, 320), Member("rcu", to_rcu, 384),
            Member("", either, 448), Member("data", tail, 512),
        )))  # fmt: skip
        assert made == task
        self.to_task = to_task
        b.add(Struct("task__safe_rcu", 8, (Member("parent", to_task, 0),)))
        self._function("vfs_read", self.long, ("task", to_task), ("count", self.int))
        self._function("vfs_done", 0, ("task", to_task))
        self._function("bpf_lsm_file_open", self.int, ("task", to_task))
        self._function("bpf_lsm_task_free", 0, ("task", to_task))
        self._function("bpf_lsm_is_trusted", self.int, ("task", to_task))
        self._function("bpf_lsm_getprocattr", self.int, ("task", to_task))
        self._function("bpf_lsm_inode_xattr_skipcap", self.int, ("task", to_task))
        self._function("bpf_iter_task", self.int, ("meta", to_task), ("task", to_task))
        self._function("many", self.int, *((f"a{i}", self.int) for i in range(13)))
        self._function("printk", self.int, ("format", void), ("", 0))
        texts = b.add(Ptr(b.add(Ptr(self.char))))
        real = b.add(Float("double", 8))
        self._function("odd", self.int, ("real", real))
        self._function("texts", self.int, ("texts", texts))
        with_real = FuncProto(0, (Param("__data", void), Param("real", real)))
        b.add(Typedef("btf_trace_real", b.add(Ptr(b.add(with_real)))))
        self._function("far", self.int, ("task", task))
        b.add(Struct("task__safe_trusted_or_null", 8, (Member("rcu", to_rcu, 0),)))
        b.add(Struct("task__safe_rcu_or_null", 8, (Member("owner", to_task, 0),)))
        if trusted_parents:
            b.add(Struct("task__safe_trusted", 8, (Member("parent", to_task, 0),)))
        b.add(Typedef("btf_trace_odd", self.int))
        fails = FuncProto(0, (Param("__data", void), *(Param("", to_task) for _ in range(3))))
        b.add(Typedef("btf_trace_nfs4_inode_callback_event", b.add(Ptr(b.add(fails)))))
        proto = b.add(FuncProto(0, (Param("__data", void), Param("task", to_task))))
        b.add(Typedef("btf_trace_seen", b.add(Ptr(proto))))
        nullable = (Param("__data", void), Param("task__nullable", to_task))
        b.add(Typedef("btf_trace_perhaps", b.add(Ptr(b.add(FuncProto(0, nullable))))))
        each = b.add(Var("each_task", task, 1))
        count = b.add(Var("each_count", self.int, 1))
        b.add(Datasec(".data..percpu", 72, (SecVar(each, 0, 64), SecVar(count, 64, 4))))
        b.add(Var("first", task, 1))
        b.add(Var("limit", self.int, 1))
        self._kfuncs(b)
        self._types = LazyBtf.parse(encode_types(b.build().types))
        self._modules: tuple[LazyBtf, ...] = ()
        if of_modules:
            self._modules = (self._types,)
            self._types = LazyBtf.parse(encode_types(BtfBuilder().build().types))

    def _kfuncs(self, b: BtfBuilder) -> None:
        """Functions that are tagged as kfuncs, and one that is not."""
        to_iter = b.add(Ptr(b.add(Struct("bpf_iter_made_up", 8, (Member("", self.long, 0),)))))
        calls = b.add(Ptr(b.add(FuncProto(self.int, (Param("n", self.int),)))))
        to_int = b.add(Ptr(self.int))
        task = ("task", self.to_task)
        self._function("made_up_untagged", self.int)
        for name, ret, *params in (
            ("made_up", self.int, task),
            ("made_up_number", self.long, ("n", self.int)),
            ("made_up_memory", self.int, ("data", self.void), ("data__sz", self.int)),
            ("made_up_out", self.int, ("out", to_int)),
            ("made_up_count", to_int),
            ("made_up_address", self.void),
            ("made_up_task", self.to_task),
            ("made_up_walk", self.int, ("it", to_iter)),
            ("made_up_loop", self.int, ("call", calls)),
            ("made_up_put", self.int, task),
            ("made_up_irq_save", self.int),
            ("scx_bpf_made_up", self.int),
        ):
            self._b.add(DeclTag("bpf_kfunc", self._function(name, ret, *params), -1))

    def _function(self, name: str, ret: int, *params: tuple[str, int]) -> int:
        proto = self._b.add(FuncProto(ret, tuple(Param(*p) for p in params)))
        return self._b.add(Func(name, proto, 1))

    def types(self) -> LazyBtf | None:
        return self._types

    def release(self) -> tuple[int, int]:
        return 6, 18

    def has_types(self) -> bool:
        return True

    def modules(self) -> tuple[LazyBtf, ...]:
        return self._modules
