/**
 * A disk as people write it on a command line: `FILE[,option…]`, or `nbd://HOST/NAME[,option…]`.
 *
 * | option | what |
 * |---|---|
 * | `readonly` | it is never written |
 * | `bus=nvme`, `virtio`, `scsi` | what it hangs on in the guest (`disk-order.ts`) |
 * | `serial=TEXT` | what the guest knows it by |
 * | `iops=N`, `bps=N` | requests and bytes a second, `bps` also as `50M` (of 1024²): a `throttle` node (storage/kinds.ts) |
 * | `group=NAME` | disks of the guest with the same group share one limit, which each of them repeats |
 * | `priority=N` | its part of that, 1 to 10000; 100 if left out |
 *
 * Options are the words at the end: letters, with a value or not. A file's name may have commas before what is no such word.
 */
import { TenonError } from '../../base/errors.ts'
import { storageError } from '../../storage/errors.ts'
import { isDiskSerial } from './check-orders.ts'
import { DISK_BUSES } from './disk-order.ts'
import type { DiskGraph, DiskOrder } from './disk-order.ts'
import { isNbdUri } from './nbd-uri.ts'

const WORD = /^([A-Za-z-]+)(?:=(.*))?$/s
const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }
const LARGEST_WEIGHT = 10_000

/** Fields of a throttle node. */
interface Limits {
  readonly requestsPerSecond?: number
  readonly bytesPerSecond?: number
  readonly group?: string
  readonly weight?: number
}

interface Options extends Pick<DiskOrder, 'bus' | 'serial'>, Limits { readonly readOnly?: boolean }

/** What each word means; undefined for a value that it cannot have. */
const WORDS: Readonly<Record<string, { readonly shape: string, read(value: string | undefined): Options | undefined }>> = {
  readonly: { shape: 'readonly, without a value', read: value => (value === undefined ? { readOnly: true } : undefined) },
  bus: { shape: `bus= and one of ${DISK_BUSES.join(', ')}`, read: value => optional('bus', DISK_BUSES.find(bus => bus === value)) },
  serial: {
    shape: 'serial= and 1 to 20 printable ASCII characters',
    read: (value = '') => optional('serial', isDiskSerial(value) ? value : undefined),
  },
  iops: { shape: 'iops= and a number a second, such as 500', read: value => optional('requestsPerSecond', readNumber(value, '')) },
  bps: { shape: 'bps= and a number of bytes a second, such as 50M', read: value => optional('bytesPerSecond', readNumber(value, 'KMG')) },
  group: { shape: 'group= and a name', read: value => optional('group', value === '' ? undefined : value) },
  priority: { shape: `priority= and 1 to ${LARGEST_WEIGHT}`, read: value => optional('weight', readNumber(value, '', LARGEST_WEIGHT)) },
}

/** @throws TenonError DISK_DESCRIPTION_INVALID, which names the word that is wrong. */
export function parseDiskText(text: string): DiskOrder {
  const { name, words } = split(text)
  if (name === '') throw unfit(text, 'write FILE, or FILE,readonly')
  const options = words.reduce<Options>((sum, word) => ({ ...sum, ...readWord(text, word, sum) }), {})
  const { bus, serial, readOnly = false, ...limits } = options
  const disk: DiskGraph = { ...isNbdUri(name) ? { kind: 'nbd', uri: name } : { kind: 'file', path: name }, readOnly }
  return { graph: throttled(text, disk, limits), ...bus && { bus }, ...serial && { serial } }
}

function split(text: string): { readonly name: string, readonly words: string[] } {
  const parts = text.split(',')
  let first = parts.length
  while (first > 1 && WORD.test(parts[first - 1])) first--
  return { name: parts.slice(0, first).join(','), words: parts.slice(first) }
}

function readWord(text: string, word: string, before: Options): Options {
  const [, name, value] = WORD.exec(word)!
  if (!Object.hasOwn(WORDS, name)) {
    throw unfit(text, `${JSON.stringify(name)} is no option: there are ${Object.keys(WORDS).join(', ')}`)
  }
  const { shape, read } = WORDS[name]
  const options = read(value)
  if (options === undefined) throw unfit(text, `${JSON.stringify(word)} cannot be: write ${shape}`)
  if (Object.keys(options).some(field => Object.hasOwn(before, field))) throw unfit(text, `${JSON.stringify(name)} is there twice`)
  return options
}

function throttled(text: string, node: DiskGraph, limits: Limits): DiskGraph {
  const { requestsPerSecond, bytesPerSecond, group, weight } = limits
  if (weight !== undefined && group === undefined) throw unfit(text, '"priority" is among disks that share a limit: add group=')
  const isLimited = requestsPerSecond !== undefined || bytesPerSecond !== undefined
  if (group !== undefined && !isLimited) throw unfit(text, '"group" shares a limit, and there is none: add iops= or bps=')
  return isLimited ? { kind: 'throttle', ...limits, node } : node
}

function optional<Name extends keyof Options>(name: Name, value: Options[Name]): Options | undefined {
  return value === undefined ? undefined : { [name]: value }
}

function readNumber(text: string | undefined, units: string, largest = Number.MAX_SAFE_INTEGER): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,15})([A-Z])?$/i.exec(text ?? '') ?? []
  if (digits === undefined || !units.includes(unit.toUpperCase())) return undefined
  const number = Number(digits) * UNITS[unit.toUpperCase()]
  return number >= 1 && number <= largest ? number : undefined
}

function unfit(text: string, why: string): TenonError {
  return storageError('DISK_DESCRIPTION_INVALID', `${JSON.stringify(text)} is no disk: ${why}`)
}
