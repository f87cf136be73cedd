import { encodeUtf8 } from '../../../base/utf8.ts'
import { gather, type Buffers } from '../../buffers.ts'
import { byteString } from '../names.ts'
import { IN_HEADER_SIZE, MAJOR_VERSION, Opcode, OUT_HEADER_SIZE, ROOT_NODE } from '../protocol.ts'
import type { FuseSession } from '../session.ts'

/** Part of a message: a number of 4 bytes, one of 8 bytes (bigint), or a text that ends with a zero. Bytes are taken as they are. */
export type Field = number | bigint | string | Uint8Array

export interface Reply {
  /** A positive number of Linux; 0 for success. */
  readonly errno: number
  readonly body: DataView
  readonly bytes: Uint8Array
}

export interface Entry {
  readonly node: number
  readonly inode: bigint
  readonly mode: number
  readonly size: number
  readonly links: number
  readonly user: number
  readonly modified: number
}

/** A guest's kernel in small: makes messages, reads replies. */
export class FuseClient {
  private readonly session: Pick<FuseSession, 'serve'>
  private unique = 0n

  constructor(session: Pick<FuseSession, 'serve'>) { this.session = session }

  /** As INIT of a Linux 6.1. */
  mount(): this {
    this.request(Opcode.INIT, 0, [MAJOR_VERSION, 37, 1 << 20, 0xffffffff])
    return this
  }

  /** The reply, or undefined if there was none. `room` is in pieces like the guest's. */
  send(opcode: number, node: number, fields: readonly Field[], room = 8192): Reply | undefined {
    const message = encode(opcode, ++this.unique, node, fields)
    const reply = pieces(new Uint8Array(room))
    const length = this.session.serve(pieces(message), reply)
    if (length === 0) return undefined
    const bytes = gather(reply)
    const view = new DataView(bytes.buffer)
    if (view.getUint32(0, true) !== length || view.getBigUint64(8, true) !== this.unique) throw new Error('a wrong reply header')
    const body = bytes.slice(OUT_HEADER_SIZE, length)
    return { errno: 0 - view.getInt32(4, true), bytes: body, body: new DataView(body.buffer) }
  }

  request(opcode: number, node: number, fields: readonly Field[] = [], room?: number): Reply {
    const reply = this.send(opcode, node, fields, room)
    if (reply === undefined) throw new Error(`no reply to ${opcode}`)
    return reply
  }

  /** Throws the number of an error. */
  succeed(opcode: number, node: number, fields: readonly Field[] = [], room?: number): Reply {
    const reply = this.request(opcode, node, fields, room)
    if (reply.errno !== 0) throw new RangeError(`errno ${reply.errno}`)
    return reply
  }

  errno(opcode: number, node: number, fields: readonly Field[] = []): number { return this.request(opcode, node, fields).errno }

  lookup(folder: number, name: string): Entry { return entryOf(this.succeed(Opcode.LOOKUP, folder, [name])) }

  /** The node at a path of names. */
  walk(path: string): number { return path.split('/').reduce((node, name) => this.lookup(node, name).node, ROOT_NODE) }

  open(node: number, flags: number): bigint { return this.succeed(Opcode.OPEN, node, [flags, 0]).body.getBigUint64(0, true) }

  create(folder: number, name: string, flags: number, mode = 0o644): { readonly entry: Entry, readonly handle: bigint } {
    const reply = this.succeed(Opcode.CREATE, folder, [flags, 0o100000 | mode, 0o22, 0, name])
    return { entry: entryOf(reply), handle: reply.body.getBigUint64(128, true) }
  }

  read(handle: bigint, offset: number, size: number): string {
    return byteString(this.succeed(Opcode.READ, 0, [handle, BigInt(offset), size, 0, 0n, 0, 0], size + OUT_HEADER_SIZE).bytes)
  }

  write(handle: bigint, offset: number, text: string): number {
    return this.succeed(Opcode.WRITE, 0, [handle, BigInt(offset), text.length, 0, 0n, 0, 0, encodeUtf8(text)]).body.getUint32(0, true)
  }

  /** Names of a folder, `size` bytes of entries at a time. */
  list(node: number, opcode: number = Opcode.READDIR, size = 512): string[] {
    const handle = this.succeed(Opcode.OPENDIR, node, [0, 0]).body.getBigUint64(0, true)
    const names: string[] = []
    for (let from = 0n; ;) {
      const entries = entriesOf(this.succeed(opcode, node, [handle, from, size, 0, 0n, 0, 0]), opcode === Opcode.READDIRPLUS)
      if (entries.length === 0) break
      names.push(...entries.map(({ name }) => name))
      from = entries.at(-1)!.next
    }
    this.succeed(Opcode.RELEASEDIR, node, [handle, 0, 0, 0n])
    return names
  }
}

export function encode(opcode: number, unique: bigint, node: number, fields: readonly Field[]): Uint8Array {
  const body = fields.map(fieldBytes)
  const length = IN_HEADER_SIZE + body.reduce((sum, { length }) => sum + length, 0)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length, true)
  view.setUint32(4, opcode, true)
  view.setBigUint64(8, unique, true)
  view.setBigUint64(16, BigInt(node), true)
  bytes.set(gather(body.length === 0 ? [new Uint8Array(0)] : body), IN_HEADER_SIZE)
  return bytes
}

function fieldBytes(field: Field): Uint8Array {
  if (typeof field === 'string') return Uint8Array.from([...encodeUtf8(field), 0])
  if (typeof field === 'number') return new Uint8Array(Uint32Array.of(field).buffer)
  return typeof field === 'bigint' ? new Uint8Array(BigUint64Array.of(field).buffer) : field
}

/** In pieces of odd lengths. */
function pieces(bytes: Uint8Array): Buffers {
  const list: Uint8Array[] = []
  for (let at = 0, size = 7; at < bytes.length; at += size, size = size * 3 % 4099) list.push(bytes.subarray(at, at + size))
  return list
}

export function entryOf({ body }: Reply): Entry {
  return { node: Number(body.getBigUint64(0, true)), ...attributesOf(body, 40) }
}

export function attributesOf(body: DataView, at = 16): Omit<Entry, 'node'> {
  return {
    inode: body.getBigUint64(at, true), size: Number(body.getBigUint64(at + 8, true)),
    modified: Number(body.getBigInt64(at + 32, true)) + body.getUint32(at + 52, true) / 1e9,
    mode: body.getUint32(at + 60, true), links: body.getUint32(at + 64, true), user: body.getUint32(at + 68, true),
  }
}

export interface Dirent { readonly name: string, readonly next: bigint, readonly type: number, readonly node: number }

export function entriesOf({ body, bytes }: Reply, plus: boolean): Dirent[] {
  const entries: Dirent[] = []
  for (let at = 0; at < bytes.length;) {
    const dirent = plus ? at + 128 : at
    const length = body.getUint32(dirent + 16, true)
    const name = byteString(bytes.subarray(dirent + 24, dirent + 24 + length))
    const node = plus ? Number(body.getBigUint64(at, true)) : 0
    entries.push({ name, next: body.getBigUint64(dirent + 8, true), type: body.getUint32(dirent + 20, true), node })
    at = dirent + (24 + length + 7 & ~7)
  }
  return entries
}
