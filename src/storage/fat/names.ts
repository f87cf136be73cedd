/**
 * Names on a FAT volume: each file has a short one (8 and 3 capitals, digits and a few signs), and a long one in UTF-16 if it differs.
 * Source: FAT: General Overview of On-Disk Format 1.03, "FAT Long Directory Entries". Names that differ by case only are the same.
 */
import { storageError } from '../errors.ts'

export const SHORT_LENGTH = 11
const LONGEST = 255
const FORBIDDEN = /[^ -\uffff]|["*/:<>?\\|\u007f]/
const PLAIN = /^[A-Z0-9$%'\-_@~`!(){}^#&]{1,8}(\.[A-Z0-9$%'\-_@~`!(){}^#&]{1,3})?$/
const NOT_SHORT = /[^A-Z0-9$%'\-_@~`!(){}^#&]/g
const MOST_NUMBER = 999_999

export interface Name {
  /** 11 bytes: name and extension, with spaces after each. */
  readonly short: Uint8Array
  /** Undefined: the short one is all. */
  readonly long: string | undefined
}

/** The names of a directory's files, in order. Throws TenonError FILE_UNFIT. */
export function nameAll(names: readonly string[], directory: string): Name[] {
  const known = new Map<string, string>()
  for (const name of names) {
    checkName(name, directory)
    const same = known.get(name.toUpperCase())
    if (same !== undefined) {
      throw unfit(`${JSON.stringify(same)} and ${JSON.stringify(name)} in ${directory} are the same name on a FAT volume: rename one`)
    }
    known.set(name.toUpperCase(), name)
  }
  // What has no long name needs just its short one.
  const taken = new Set(names.filter(name => PLAIN.test(name)))
  const numbers = new Map<string, number>()
  return names.map((name) => {
    if (PLAIN.test(name)) return { short: pad(name), long: undefined }
    return { short: pad(shorten(name, taken, numbers)), long: name }
  })
}

function checkName(name: string, directory: string): void {
  const isNone = name === '' || name.length > LONGEST || FORBIDDEN.test(name) || /[. ]$/.test(name)
  if (!isNone) return
  const rule = `1 to ${LONGEST} characters, none of "*/:<>?\\|, no space or dot at the end`
  throw unfit(`${JSON.stringify(name.slice(0, 300))} in ${directory} is no name for a FAT volume (${rule}): rename it`)
}

function unfit(message: string): Error { return storageError('FILE_UNFIT', message) }

/** A short name with a number that makes it different from all others. `numbers` has the last one of names that begin so. */
function shorten(name: string, taken: Set<string>, numbers: Map<string, number>): string {
  const dot = name.lastIndexOf('.')
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot + 1)] : [name, '']
  const ending = extension === '' ? '' : `.${plain(extension).slice(0, 3)}`
  const start = plain(stem)
  const group = start.slice(0, 6) + ending
  for (let number = (numbers.get(group) ?? 0) + 1; number <= MOST_NUMBER; number++) {
    const tail = `~${number}`
    const found = start.slice(0, 8 - tail.length) + tail + ending
    if (taken.has(found)) continue
    numbers.set(group, number)
    taken.add(found)
    return found
  }
  throw unfit(`${JSON.stringify(name)} has too many others like it in its directory for a FAT volume`)
}

function plain(text: string): string {
  return text.toUpperCase().replaceAll(/[ .]/g, '').replace(NOT_SHORT, '_')
}

function pad(name: string): Uint8Array {
  const [stem, extension = ''] = name.split('.')
  return Uint8Array.from(stem.padEnd(8) + extension.padEnd(3), character => character.charCodeAt(0))
}

/** A volume's label as it is stored. Throws TenonError FILE_UNFIT. */
export function encodeLabel(label: string): Uint8Array {
  const isLabel = /^[A-Z0-9 $%'\-_@~`!(){}^#&]{1,11}$/.test(label) && label.trim() === label
  if (isLabel) return Uint8Array.from(label.padEnd(SHORT_LENGTH), character => character.charCodeAt(0))
  throw unfit(`${JSON.stringify(label)} is no label for a FAT volume: use 1 to ${SHORT_LENGTH} capitals, digits, - and _`)
}
