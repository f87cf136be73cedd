import { decodeUtf8, encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import type { ByteStream } from './byte-stream.ts'
import type { MessageReader } from './message-reader.ts'
import { ClientOptions, type Reply } from './client-options.ts'
import { printable } from './printable.ts'
import {
  ALLOCATION_CONTEXT, DEFAULT_PAYLOAD_LIMIT, EXPORT_NAME_PADDING, Info, Option, OptionReply, STRING_LIMIT, TransmissionFlag,
} from './protocol.ts'
import { MessageFields, MessageWriter } from './wire.ts'

/** What a server says of an export, and what was agreed with it. */
export interface NegotiatedExport extends ExportInfo {
  readonly structuredReplies: boolean
  /** The number of base:allocation, or null where BLOCK_STATUS cannot be asked for. */
  readonly allocationContext: number | null
}

interface ExportInfo {
  /** Bytes. */
  readonly size: number
  /** TransmissionFlag. */
  readonly flags: number
  /** Requests are multiples of this many bytes: a power of two from 1 to 64 KiB. */
  readonly minimumBlock: number
  /** The largest payload, bytes. */
  readonly maximumPayload: number
}

export interface ListedExport {
  readonly name: string
  readonly description: string
}

const LISTED_LIMIT = 10_000
const BLOCK_LIMIT = 64 << 10
const NOTHING = new Uint8Array(0)

/**
 * The client's side of the handshake, up to transmission. Rejects with DISK_NOT_FOUND (no such export), DISK_UNSUPPORTED (a server of
 * another kind, or one that insists on TLS) or DISK_PEER_FAILED. The caller sees to the time it takes, and closes the stream.
 */
export async function negotiateExport(stream: ByteStream, reader: MessageReader, exportName: string): Promise<NegotiatedExport> {
  const name = exportNameBytes(exportName)
  const options = await ClientOptions.begin(stream, reader)
  const structuredReplies = options.isFixed && await agreeOnStructuredReplies(options)
  const allocationContext = structuredReplies ? await agreeOnAllocation(options, name) : null
  const info = options.isFixed ? await go(options, name) : null
  return { ...info ?? await enterByName(options, name), structuredReplies, allocationContext }
}

/** The exports that a server tells of, at most 10,000. Rejects as `negotiateExport`. */
export async function listExports(stream: ByteStream, reader: MessageReader): Promise<ListedExport[]> {
  const options = await ClientOptions.begin(stream, reader)
  if (!options.isFixed) throw storageError('DISK_UNSUPPORTED', `${stream.peer} is too old an NBD server to list its exports`)
  const exports: ListedExport[] = []
  const refusal = await options.ask(Option.LIST, NOTHING, LISTED_LIMIT, ({ type, data }) => {
    if (type === OptionReply.SERVER) exports.push({ name: decodeUtf8(data.string()), description: decodeUtf8(data.rest()) })
  })
  if (refusal !== null) throw refused(stream, refusal, 'list its exports')
  await options.send(Option.ABORT, NOTHING)
  return exports
}

function exportNameBytes(name: string): Uint8Array {
  const bytes = encodeUtf8(name)
  if (bytes.length <= STRING_LIMIT && !bytes.includes(0)) return bytes
  throw storageError('DISK_NOT_FOUND', `no NBD export can have this name: it has ${bytes.length} bytes of at most ${STRING_LIMIT}, or a NUL in it`)
}

async function agreeOnStructuredReplies(options: ClientOptions): Promise<boolean> {
  return await options.ask(Option.STRUCTURED_REPLY, NOTHING) === null
}

async function agreeOnAllocation(options: ClientOptions, name: Uint8Array): Promise<number | null> {
  const query = encodeUtf8(ALLOCATION_CONTEXT)
  const message = new MessageWriter(12 + name.length + query.length).string(name).u32(1).string(query)
  let context: number | null = null
  const refusal = await options.ask(Option.SET_META_CONTEXT, message.bytes, 64, ({ type, data }) => {
    if (type !== OptionReply.META_CONTEXT) return
    const number = data.u32()
    if (decodeUtf8(data.rest()) === ALLOCATION_CONTEXT) context = number
  })
  return refusal === null ? context : null
}

/** Null: the server does not know GO. */
async function go(options: ClientOptions, name: Uint8Array): Promise<ExportInfo | null> {
  const message = new MessageWriter(8 + name.length).string(name).u16(1).u16(Info.BLOCK_SIZE)
  const found = { size: -1, flags: 0, minimumBlock: 1, maximumPayload: DEFAULT_PAYLOAD_LIMIT }
  const refusal = await options.ask(Option.GO, message.bytes, 64, ({ type, data }) => {
    if (type === OptionReply.INFO) readInfo(data, found)
  })
  if (refusal?.type === OptionReply.ERR_UNSUP) return null
  if (refusal !== null) throw refused(options.stream, refusal, `serve its export "${decodeUtf8(name)}"`)
  return checked(options.stream, found)
}

function readInfo(data: MessageFields, found: { -readonly [Field in keyof ExportInfo]: number }): void {
  const type = data.u16()
  if (type === Info.EXPORT) {
    found.size = data.u64()
    found.flags = data.u16()
  } else if (type === Info.BLOCK_SIZE) {
    found.minimumBlock = data.u32()
    data.u32()
    found.maximumPayload = Math.min(data.u32(), DEFAULT_PAYLOAD_LIMIT)
  }
}

async function enterByName(options: ClientOptions, name: Uint8Array): Promise<ExportInfo> {
  const { stream, reader, hasPadding } = options
  await options.send(Option.EXPORT_NAME, name)
  const answer = await reader.takeUnlessEnded(10)
  if (answer === null) throw storageError('DISK_NOT_FOUND', `${stream.peer} has hung up: it seems to have no export "${decodeUtf8(name)}"`)
  const fields = new MessageFields(answer)
  const [size, flags] = [fields.u64(), fields.u16()]
  if (hasPadding) await reader.skip(EXPORT_NAME_PADDING)
  return checked(stream, { size, flags, minimumBlock: 1, maximumPayload: DEFAULT_PAYLOAD_LIMIT })
}

function checked(stream: ByteStream, info: ExportInfo): ExportInfo {
  const { size, flags, minimumBlock, maximumPayload } = info
  const isBlock = minimumBlock >= 1 && minimumBlock <= BLOCK_LIMIT && (minimumBlock & minimumBlock - 1) === 0
  if (!isBlock || maximumPayload < minimumBlock) throw refusedInfo(stream, `blocks of ${minimumBlock} to ${maximumPayload} bytes`)
  if (!Number.isSafeInteger(size) || size < 0) throw refusedInfo(stream, 'a size that no disk has')
  if (size % minimumBlock !== 0) throw refusedInfo(stream, `a size of ${size} bytes, which is no multiple of its blocks of ${minimumBlock}`)
  return (flags & TransmissionFlag.HAS_FLAGS) === 0 ? { ...info, flags: 0 } : info
}

function refusedInfo(stream: ByteStream, what: string): Error {
  return storageError('DISK_PEER_FAILED', `${stream.peer} offers an export with ${what}: it cannot be used`)
}

function refused({ peer }: ByteStream, { type, data }: Reply, what: string): Error {
  const said = printable(decodeUtf8(data.rest().subarray(0, 200)))
  const reason = said === '' ? '' : ` ("${said}")`
  if (type === OptionReply.ERR_UNKNOWN) return storageError('DISK_NOT_FOUND', `${peer} refuses to ${what}: there is none${reason}`)
  if (type === OptionReply.ERR_TLS_REQD) return storageError('DISK_UNSUPPORTED', `${peer} refuses to ${what} without TLS, which is not supported`)
  return storageError('DISK_PEER_FAILED', `${peer} refuses to ${what}${reason}, error ${type - OptionReply.ERROR}`)
}
