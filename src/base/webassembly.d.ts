// The part of the WebAssembly JavaScript interface that the core uses, declared here because the rooms from `base` to `vmm` compile
// without the DOM's and Node's types (where it is usually declared). Source: W3C WebAssembly JavaScript Interface, version 2.

declare namespace WebAssembly {
  interface MemoryDescriptor { initial: number; maximum?: number; shared?: boolean }
  class Memory {
    constructor(descriptor: MemoryDescriptor)
    readonly buffer: ArrayBuffer | SharedArrayBuffer
    grow(delta: number): number
  }
  interface TableDescriptor { element: 'anyfunc'; initial: number; maximum?: number }
  class Table {
    constructor(descriptor: TableDescriptor)
    readonly length: number
    get(index: number): unknown
    set(index: number, value: unknown): void
    grow(delta: number): number
  }
  class Module {
    constructor(bytes: Uint8Array)
    static customSections(module: Module, name: string): ArrayBuffer[]
  }
  type ImportValue = Memory | Table | ((...args: never[]) => unknown)
  type Imports = Record<string, Record<string, ImportValue>>
  class Instance {
    constructor(module: Module, imports?: Imports)
    readonly exports: Record<string, unknown>
  }
  function validate(bytes: Uint8Array): boolean
}
