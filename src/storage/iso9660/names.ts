/**
 * What a file is called in the two trees of a volume. The primary one has names as ISO 9660 allows them at level 1 (ECMA-119 §7.5,
 * §10.1): 8 and 3 of A-Z, 0-9 and _; its Rock Ridge entries have the real ones. The Joliet tree has the real ones in UCS-2, but for a
 * few characters (Joliet Specification, 1995).
 */
import { encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import { encodeAscii, encodeUcs2 } from './fields.ts'

/** What fits beside the other fields of a directory record. */
const MAXIMUM_BYTES = 128
const MAXIMUM_JOLIET = 64
/** Control characters, and * / : ; ? \ */
const FORBIDDEN_IN_JOLIET = /[^ -\uffff]|[*/:;?\\]/g

/** Gives each name of one directory its identifier; they are all different. */
export type Naming = (names: readonly { readonly name: string, readonly isDirectory: boolean }[]) => Uint8Array[]

/** @throws TenonError FILE_UNFIT */
export function checkName(name: string, directory: string): void {
  const isNone = name === '' || name === '.' || name === '..' || /[/\0]/.test(name)
  if (!isNone && encodeUtf8(name).length <= MAXIMUM_BYTES && name.length <= MAXIMUM_JOLIET) return
  const what = `${JSON.stringify(name.slice(0, 300))} in ${directory} is no name for an ISO 9660 volume`
  throw storageError('FILE_UNFIT', `${what} (1 to ${MAXIMUM_JOLIET} characters and ${MAXIMUM_BYTES} bytes, no slash): rename it`)
}

export const primaryNaming: Naming = (names) => {
  const taken = new Map<string, number>()
  return names.map(({ name, isDirectory }) => {
    const dot = isDirectory ? -1 : name.lastIndexOf('.')
    const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot + 1)] : [name, '']
    const ending = isDirectory ? '' : `.${plain(extension).slice(0, 3)}`
    const found = unique(plain(stem).slice(0, 8), ending, 8, taken)
    return encodeAscii(isDirectory ? found : `${found};1`)
  })
}

export const jolietNaming: Naming = (names) => {
  const taken = new Map<string, number>()
  return names.map(({ name }) => encodeUcs2(unique(name.replace(FORBIDDEN_IN_JOLIET, '_'), '', MAXIMUM_JOLIET, taken)))
}

function plain(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9_]/g, '_')
}

/** `stem` and `ending`, with a number at the stem's end if that is taken already. `taken` has the last number of each name. */
function unique(stem: string, ending: string, longest: number, taken: Map<string, number>): string {
  const whole = stem + ending
  let found = whole
  for (let number = (taken.get(whole) ?? 0) + 1; taken.has(found); number++) {
    found = `${stem.slice(0, longest - `${number}`.length)}${number}${ending}`
    taken.set(whole, number)
  }
  taken.set(found, taken.get(found) ?? 0)
  return found
}
