import { Option } from 'commander'
import { parseMirror } from './values.ts'

/** Options that several commands have. */
export function mirrorOption(): Option {
  return new Option('--mirror <url>', 'the Debian mirror to fetch from').env('TENON_MIRROR').argParser(parseMirror)
}
