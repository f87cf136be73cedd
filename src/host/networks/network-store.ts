import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { networkError } from '../../network/errors.ts'
import { checkConfiguration } from '../../network/gateway/settings.ts'
import { parseRule } from '../../network/gateway/policy.ts'
import { explained } from '../cache/file-errors.ts'
import { hostError } from '../errors.ts'
import { GUEST_FILES, isGuestName } from '../guests/home.ts'
import { parseYaml } from '../yaml-file.ts'
import { hasGateway } from '../network/network-order.ts'
import type { NetworkDefinition } from './network-definition.ts'

/** The network of guests that name no other. It is there without a file; a file of this name makes it another. */
export const DEFAULT_NETWORK = 'default'
const DEFAULT_DEFINITION: NetworkDefinition = { kind: 'nat', ipv4: '10.0.3.1/24', ipv6: 'fd74:656e:6f6e:3::1/64' }

/** Networks get 10.0.N.1/24, one after another. */
const FIRST_NUMBER = 5
const LAST_NUMBER = 254

const HEAD = `# What this network is. Edit it as you like: a change holds once no guest is plugged in.
# Fields: kind (nat, host-only, isolated, bridge), ipv4, ipv6, mtu, allow, hostPorts; bridge or tap.
`

/** All networks of a user, on disk. */
export class NetworkStore {
  readonly #folder: string

  /** `home` as `homeFolder` gives it. */
  constructor(home: string) { this.#folder = join(home, 'networks') }

  /** In order, the default one among them. */
  async names(): Promise<string[]> {
    const entries = await explained(this.#folder, () => readdir(this.#folder).catch(emptyIfMissing), GUEST_FILES)
    const names = entries.filter(entry => entry.endsWith('.yaml')).map(entry => entry.slice(0, -'.yaml'.length)).filter(isGuestName)
    return [...new Set([...names, DEFAULT_NETWORK])].sort()
  }

  /** Throws TenonError NETWORK_UNKNOWN, or NETWORK_DEFINITION_INVALID with file and line. */
  async definition(name: string): Promise<NetworkDefinition> {
    const path = this.#path(name)
    const text = await explained(path, () => readFile(path, 'utf8').catch(undefinedIfMissing), GUEST_FILES)
    if (text === undefined && name === DEFAULT_NETWORK) return DEFAULT_DEFINITION
    if (text === undefined) {
      throw networkError('NETWORK_UNKNOWN', `there is no network '${name}': there is ${(await this.names()).join(', ')}; `
        + 'make one with tenon network create')
    }
    // Loaded here: most starts of the program do not need it.
    const { networkDefinitionSchema } = await import('./network-definition.ts')
    const definition = await parseYaml(text, path, networkDefinitionSchema, what => hostError('NETWORK_DEFINITION_INVALID', what))
    check(definition)
    return definition
  }

  /**
   * Makes a network. An address that is left out is chosen.
   * @throws TenonError NETWORK_EXISTS, NETWORK_NAME_INVALID, NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID, GUEST_FILES_*.
   */
  async create(name: string, definition: NetworkDefinition): Promise<NetworkDefinition> {
    if (!isGuestName(name)) {
      throw hostError('NETWORK_NAME_INVALID',
        `${JSON.stringify(name)} is no name for a network: lower-case letters, digits and hyphens, 63 at most`)
    }
    if ((await this.names()).includes(name)) {
      throw networkError('NETWORK_EXISTS', `there is a network '${name}' already: choose another name`)
    }
    const addresses = !hasGateway(definition.kind) ? {} : { ipv4: await this.#freeAddress(), ipv6: ipv6Of(name) }
    const whole = { ...addresses, ...defined(definition) }
    await checkFields(whole)
    check(whole)
    const { stringify } = await import('yaml')
    const path = this.#path(name)
    await explained(path, async () => {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      await writeFile(path, `${HEAD}${stringify(whole)}`, { flag: 'wx' })
    }, GUEST_FILES)
    return whole
  }

  /** Throws TenonError NETWORK_UNKNOWN. */
  async remove(name: string): Promise<void> {
    if (!(await this.names()).includes(name)) await this.definition(name)
    await explained(this.#path(name), () => rm(this.#path(name), { force: true }), GUEST_FILES)
  }

  #path(name: string): string { return join(this.#folder, `${isGuestName(name) ? name : 'none'}.yaml`) }

  async #freeAddress(): Promise<string> {
    const names = await this.names()
    const used = await Promise.all(names.map(name => this.definition(name).then(({ ipv4 }) => ipv4, () => undefined)))
    for (let number = FIRST_NUMBER; number <= LAST_NUMBER; number++) {
      if (!used.some(address => address?.startsWith(`10.0.${number}.`))) return `10.0.${number}.1/24`
    }
    throw networkError('NETWORK_CONFIGURATION_INVALID', 'no network of 10.0.0.0/16 is free: name an address with --ipv4')
  }
}

/** As they are checked when they are read from a file. */
async function checkFields(definition: NetworkDefinition): Promise<void> {
  const { networkDefinitionSchema } = await import('./network-definition.ts')
  const problem = networkDefinitionSchema.safeParse(definition).error?.issues[0]
  if (problem !== undefined) throw networkError('NETWORK_CONFIGURATION_INVALID', `${problem.path.join('.')} ${problem.message}`)
}

function check({ kind, ipv4, ipv6, mtu, allow, hostPorts }: NetworkDefinition): void {
  if (!hasGateway(kind) || ipv4 === undefined) return
  allow?.forEach(rule => parseRule(rule))
  checkConfiguration({ kind, mac: '52:54:00:00:00:01', ipv4, ipv6, mtu, allow, hostPorts })
}

/** A prefix that is the network's own as far as chance allows: RFC 4193. */
function ipv6Of(name: string): string {
  const digits = createHash('sha256').update(`network ${name}`).digest('hex').slice(0, 8)
  return `fd74:656e:${digits.slice(0, 4)}:${digits.slice(4)}::1/64`
}

/** Without the fields that nobody gave. */
function defined(definition: NetworkDefinition): NetworkDefinition {
  return Object.fromEntries(Object.entries(definition).filter(([, value]) => value !== undefined)) as NetworkDefinition
}

function emptyIfMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}

function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
