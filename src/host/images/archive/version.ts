/**
 * Debian's version numbers, `[epoch:]upstream[-revision]`, and their order (Debian Policy §5.6.12).
 *
 * A part is compared in turns of non-digits and digits. Non-digits: `~` sorts before everything, even the end; letters before the
 * other characters. Digits: as numbers of any length; none is 0.
 */
export type VersionOperator = '<<' | '<=' | '=' | '>=' | '>>'

interface Version {
  readonly epoch: string
  readonly upstream: string
  readonly revision: string
}

const VERSION = /^(?:\d{1,9}:[A-Za-z0-9.+~:-]+|[A-Za-z0-9.+~-]+)$/

/** Whether `text` can be a version: its characters, and an epoch that is a number. */
export function isVersion(text: string): boolean {
  return VERSION.test(text)
}

/** Negative where `a` is older than `b`, positive where it is newer, 0 where they are the same to Debian (`1.0` and `1.0-0`). */
export function compareVersions(a: string, b: string): number {
  const left = parse(a)
  const right = parse(b)
  return compareDigits(left.epoch, right.epoch) || comparePart(left.upstream, right.upstream) || comparePart(left.revision, right.revision)
}

/** Whether `version OPERATOR wanted` holds. */
export function satisfies(version: string, operator: VersionOperator, wanted: string): boolean {
  const order = compareVersions(version, wanted)
  switch (operator) {
    case '<<': return order < 0
    case '<=': return order <= 0
    case '=': return order === 0
    case '>=': return order >= 0
    case '>>': return order > 0
  }
}

function parse(text: string): Version {
  const colon = text.indexOf(':')
  const rest = text.slice(colon + 1)
  const hyphen = rest.lastIndexOf('-')
  return {
    epoch: colon < 0 ? '0' : text.slice(0, colon),
    upstream: hyphen < 0 ? rest : rest.slice(0, hyphen),
    revision: hyphen < 0 ? '' : rest.slice(hyphen + 1),
  }
}

function comparePart(a: string, b: string): number {
  const left = new Turns(a)
  const right = new Turns(b)
  while (!left.isAtEnd() || !right.isAtEnd()) {
    const order = compareNonDigits(left.take(/\D*/y), right.take(/\D*/y)) || compareDigits(left.take(/\d*/y), right.take(/\d*/y))
    if (order !== 0) return order
  }
  return 0
}

class Turns {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  isAtEnd(): boolean {
    return this.#at >= this.#text.length
  }

  /** What `pattern` (sticky, and matching the empty text) finds here. */
  take(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const taken = pattern.exec(this.#text)![0]
    this.#at += taken.length
    return taken
  }
}

function compareNonDigits(a: string, b: string): number {
  for (let at = 0; at < a.length || at < b.length; at++) {
    const order = weight(a[at]) - weight(b[at])
    if (order !== 0) return order
  }
  return 0
}

function weight(character: string | undefined): number {
  if (character === undefined) return 0
  if (character === '~') return -1
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256
}

function compareDigits(a: string, b: string): number {
  const left = a.replace(/^0+/, '')
  const right = b.replace(/^0+/, '')
  if (left.length !== right.length) return left.length - right.length
  if (left === right) return 0
  return left < right ? -1 : 1
}
