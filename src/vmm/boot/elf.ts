import { bootError } from './errors.ts'

/**
 * ELF executables as kernels come in them (System V ABI, chapters 4 and 5): both classes, little-endian, for x86. Only program
 * headers are read. Everything is checked against the file and against itself.
 */
export interface ElfImage {
  readonly file: Uint8Array
  readonly class: 32 | 64
  /** e_entry: for Linux a physical address. */
  readonly entry: number
  /** PT_LOAD segments by physical address, without overlap and without empty ones. */
  readonly segments: readonly ElfSegment[]
  readonly notes: readonly ElfNote[]
}

export interface ElfSegment {
  readonly offset: number
  readonly physical: number
  readonly fileSize: number
  readonly memorySize: number
}

export interface ElfNote {
  readonly owner: string
  readonly type: number
  readonly description: Uint8Array
}

const MAGIC = 0x464c457f
const MACHINE_386 = 3
const MACHINE_X86_64 = 62
const TYPE_EXECUTABLE = 2
const PT_LOAD = 1
const PT_NOTE = 4
/** No kernel comes near these; they bound the work that a hostile file can ask for. */
const MAXIMUM_PROGRAM_HEADERS = 128
const MAXIMUM_NOTE_SEGMENTS = 8
const MAXIMUM_NOTE_BYTES = 16384

export function isElf(file: Uint8Array): boolean {
  return file.length >= 4 && viewOf(file).getUint32(0, true) === MAGIC
}

/** Reads a file for which isElf holds. Throws TenonError (BootErrorCode). */
export function readElf(file: Uint8Array): ElfImage {
  const is64 = elfClass(file) === 64
  const view = viewOf(file)
  checkIdentity(view)
  const headers = programHeaders(view, is64)
  return {
    file,
    class: is64 ? 64 : 32,
    entry: is64 ? word64(view, 24) : view.getUint32(24, true),
    segments: loadSegments(headers, file.length),
    notes: headers.filter(({ type }) => type === PT_NOTE).slice(0, MAXIMUM_NOTE_SEGMENTS)
      .flatMap(header => readNotes(file, header)),
  }
}

/** The class byte, with the file long enough for that class's header. */
function elfClass(file: Uint8Array): 32 | 64 {
  const HEADER_SIZE = { 1: 52, 2: 64 } as const
  const code = file[4]
  if (file.length > 4 && code !== 1 && code !== 2) throw corrupt('has an unknown class')
  const needed = HEADER_SIZE[code === 1 ? 1 : 2]
  if (file.length < needed) throw truncated(file.length, needed)
  return code === 1 ? 32 : 64
}

function checkIdentity(view: DataView): void {
  const LITTLE_ENDIAN = 1
  const machine = view.getUint16(18, true)
  if (view.getUint8(5) !== LITTLE_ENDIAN || (machine !== MACHINE_386 && machine !== MACHINE_X86_64)) {
    throw bootError('KERNEL_UNSUPPORTED', `this ELF file is for another processor (machine ${machine}): use a kernel for x86-64`)
  }
  if (view.getUint16(16, true) !== TYPE_EXECUTABLE) {
    throw bootError('KERNEL_UNSUPPORTED',
      'this ELF file is no executable with fixed addresses (a library, module or object?): use a vmlinux')
  }
}

interface ProgramHeader extends ElfSegment { readonly type: number }

function programHeaders(view: DataView, is64: boolean): ProgramHeader[] {
  const table = is64 ? word64(view, 32) : view.getUint32(28, true)
  const entrySize = view.getUint16(is64 ? 54 : 42, true)
  const count = view.getUint16(is64 ? 56 : 44, true)
  if (count > MAXIMUM_PROGRAM_HEADERS) throw corrupt(`has ${count} program headers`)
  if (count > 0 && entrySize < (is64 ? 56 : 32)) throw corrupt(`has program headers of ${entrySize} bytes`)
  if (table + count * entrySize > view.byteLength) throw truncated(view.byteLength, table + count * entrySize)
  return Array.from({ length: count }, (_, index) => programHeader(view, table + index * entrySize, is64))
}

function programHeader(view: DataView, at: number, is64: boolean): ProgramHeader {
  const type = view.getUint32(at, true)
  if (!is64) {
    const field = (offset: number) => view.getUint32(at + offset, true)
    return { type, offset: field(4), physical: field(12), fileSize: field(16), memorySize: field(20) }
  }
  const wanted = type === PT_LOAD || type === PT_NOTE
  const field = (offset: number) => wanted ? word64(view, at + offset) : 0
  return { type, offset: field(8), physical: field(24), fileSize: field(32), memorySize: field(40) }
}

function loadSegments(headers: readonly ProgramHeader[], fileLength: number): ElfSegment[] {
  const segments = headers.filter(({ type, memorySize }) => type === PT_LOAD && memorySize > 0)
    .toSorted((left, right) => left.physical - right.physical)
  if (segments.length === 0) throw corrupt('has nothing to load')
  segments.forEach((segment, index) => {
    if (segment.offset + segment.fileSize > fileLength) throw truncated(fileLength, segment.offset + segment.fileSize)
    if (segment.fileSize > segment.memorySize) throw corrupt('has a segment larger in the file than in memory')
    const next = segments[index + 1]
    if (next !== undefined && next.physical < segment.physical + segment.memorySize) throw corrupt('has segments that overlap')
  })
  return segments
}

/** Notes (System V ABI, chapter 5, "Note Section"): owner and description are each padded to 4 bytes. A damaged list ends early. */
function readNotes(file: Uint8Array, segment: ElfSegment): ElfNote[] {
  const notes: ElfNote[] = []
  const end = Math.min(segment.offset + Math.min(segment.fileSize, MAXIMUM_NOTE_BYTES), file.length)
  const view = viewOf(file)
  for (let at = segment.offset; at + 12 <= end;) {
    const ownerSize = view.getUint32(at, true)
    const descriptionSize = view.getUint32(at + 4, true)
    const descriptionAt = at + 12 + padded(ownerSize)
    if (descriptionAt + descriptionSize > end) break
    const owner = String.fromCharCode(...file.subarray(at + 12, at + 12 + Math.min(ownerSize, 32))).replace(/\0.*/s, '')
    const description = file.subarray(descriptionAt, descriptionAt + descriptionSize)
    notes.push({ owner, type: view.getUint32(at + 8, true), description })
    at = descriptionAt + padded(descriptionSize)
  }
  return notes
}

const padded = (size: number): number => Math.ceil(size / 4) * 4

/** A 64-bit field as an exact number. */
function word64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true)
  if (value > 0xffffffffffffn) throw corrupt(`has the impossible address or size 0x${value.toString(16)}`)
  return Number(value)
}

function truncated(length: number, needed: number): Error {
  return bootError('KERNEL_TRUNCATED', `the ELF kernel's file has ${length} bytes of at least ${needed}: fetch or copy it again`)
}

function corrupt(what: string): Error {
  return bootError('KERNEL_CORRUPT', `the ELF kernel ${what}: the file is damaged, or no kernel`)
}

function viewOf(bytes: Uint8Array): DataView { return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
