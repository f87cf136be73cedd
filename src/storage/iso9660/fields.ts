/**
 * How ECMA-119 writes numbers, dates and text. Numbers that machines of either kind are to read stand twice, little-endian first
 * (§7.2.3, §7.3.3).
 */
export const SECTOR_SIZE = 2048

export function setBoth16(view: DataView, offset: number, value: number): void {
  view.setUint16(offset, value, true)
  view.setUint16(offset + 2, value)
}

export function setBoth32(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value, true)
  view.setUint32(offset + 4, value)
}

export const sectorsOf = (bytes: number): number => Math.ceil(bytes / SECTOR_SIZE)

/** Years that a date of seven bytes can say. */
const [FIRST_YEAR, LAST_YEAR] = [1900, 1900 + 255]

/** Date and time of a file, in UTC (§9.1.5). `seconds` since 1970; a date that cannot be said becomes the nearest that can. */
export function encodeShortDate(seconds: number): Uint8Array {
  const { year, month, day, hour, minute, second } = calendarOf(seconds)
  return Uint8Array.of(year - FIRST_YEAR, month, day, hour, minute, second, 0)
}

/** Date and time of a volume, in UTC: digits (§8.4.26.1). */
export function encodeLongDate(seconds: number): Uint8Array {
  const { year, month, day, hour, minute, second } = calendarOf(seconds)
  const digits = `${year}${[month, day, hour, minute, second, 0].map(each => `${each}`.padStart(2, '0')).join('')}`
  return Uint8Array.of(...encodeAscii(digits), 0)
}

function calendarOf(seconds: number): Record<'year' | 'month' | 'day' | 'hour' | 'minute' | 'second', number> {
  const bounded = Math.min(Math.max(Math.floor(seconds) * 1000, Date.UTC(FIRST_YEAR)), Date.UTC(LAST_YEAR + 1) - 1)
  const date = new Date(bounded)
  return {
    year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(),
    hour: date.getUTCHours(), minute: date.getUTCMinutes(), second: date.getUTCSeconds(),
  }
}

/** One byte for each character, which must be ASCII. */
export function encodeAscii(text: string): Uint8Array {
  return Uint8Array.from(text, character => character.charCodeAt(0))
}

/** Joliet's characters: two bytes each, big-endian. */
export function encodeUcs2(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < text.length; at++) view.setUint16(at * 2, text.charCodeAt(at))
  return bytes
}
