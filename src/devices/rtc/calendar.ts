import { fromBcd, toBcd } from '../bcd.ts'

/**
 * The MC146818's time registers: seconds, minutes, hours, day of the week, date, month, year, and the century that PCs keep in
 * CMOS. Values are in the format that register B chooses. Times are Unix seconds (UTC).
 */
export interface TimeFormat {
  readonly binary: boolean
  readonly hours24: boolean
}

/** The alarm bytes as they are in the registers. */
export interface Alarm {
  readonly seconds: number
  readonly minutes: number
  readonly hours: number
}

/** Order of the bytes in `encodeTime` and `decodeTime`. */
export const TimeField = { SECONDS: 0, MINUTES: 1, HOURS: 2, WEEKDAY: 3, DATE: 4, MONTH: 5, YEAR: 6, CENTURY: 7 } as const
export const TIME_FIELDS = 8
const PM = 0x80
/** An alarm byte of 11xxxxxx matches any value. */
const ANY = 0xc0

export function encodeTime(unixSeconds: number, format: TimeFormat): Uint8Array {
  const date = new Date(unixSeconds * 1000)
  const year = date.getUTCFullYear()
  const number = (value: number): number => format.binary ? value : toBcd(value)
  return Uint8Array.of(
    number(date.getUTCSeconds()), number(date.getUTCMinutes()), encodeHours(date.getUTCHours(), format),
    number(date.getUTCDay() + 1), number(date.getUTCDate()), number(date.getUTCMonth() + 1),
    number(Math.abs(year) % 100), number(Math.floor(Math.abs(year) / 100) % 100),
  )
}

/** Any bytes are some time: values out of range carry over into the next field. */
export function decodeTime(fields: Uint8Array, format: TimeFormat): number {
  const number = (field: number): number => decodeNumber(fields[field], format)
  const year = number(TimeField.CENTURY) * 100 + number(TimeField.YEAR)
  const milliseconds = Date.UTC(year, number(TimeField.MONTH) - 1, number(TimeField.DATE),
    decodeHours(fields[TimeField.HOURS], format), number(TimeField.MINUTES), number(TimeField.SECONDS))
  return Math.floor(milliseconds / 1000)
}

/** Seconds from `unixSeconds` to the next time of day that matches the alarm bytes (at least 1); Infinity if none ever does. */
export function secondsToAlarm(unixSeconds: number, alarm: Alarm, format: TimeFormat): number {
  const hours = alarm.hours >= ANY ? -1 : decodeHours(alarm.hours, format)
  const minutes = alarm.minutes >= ANY ? -1 : decodeNumber(alarm.minutes, format)
  const seconds = alarm.seconds >= ANY ? -1 : decodeNumber(alarm.seconds, format)
  if (hours > 23 || minutes > 59 || seconds > 59) return Infinity
  const from = unixSeconds - Math.floor(unixSeconds / 86400) * 86400
  let time = from + 1
  for (;;) {
    if (hours >= 0 && Math.floor(time / 3600) % 24 !== hours) time = (Math.floor(time / 3600) + 1) * 3600
    else if (minutes >= 0 && Math.floor(time / 60) % 60 !== minutes) time = (Math.floor(time / 60) + 1) * 60
    else if (seconds >= 0 && time % 60 !== seconds) time++
    else return time - from
  }
}

function encodeHours(hours: number, format: TimeFormat): number {
  const shown = format.hours24 ? hours : hours % 12 || 12
  const afternoon = !format.hours24 && hours >= 12 ? PM : 0
  return (format.binary ? shown : toBcd(shown)) | afternoon
}

function decodeHours(byte: number, format: TimeFormat): number {
  if (format.hours24) return decodeNumber(byte, format)
  return decodeNumber(byte & ~PM, format) % 12 + (byte & PM ? 12 : 0)
}

function decodeNumber(byte: number, format: TimeFormat): number { return format.binary ? byte : fromBcd(byte) }
