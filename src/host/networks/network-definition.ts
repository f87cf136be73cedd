/**
 * What a network is, as a person writes it in `networks/NAME.yaml`:
 *
 *     kind: nat               guests reach each other, the gateway's services, and the outside; host-only: not the outside;
 *                             isolated: each other alone; bridge: the host's own network
 *     bridge: br0             of bridge: the host's bridge, which takes the right to join it; or
 *     tap: tap0               a TAP that an administrator has made for you and joined to one, or a macvtap with its one guest's MAC address
 *     ipv4: 10.0.5.1/24       the gateway's address in its network; not for isolated and bridge
 *     ipv6: fd00:5::1/64      as well; without it there is no IPv6 but link-local
 *     mtu: 1500
 *     allow:                  of nat: all that may be reached outside; left out, everything but the host's own
 *       - example.org:443
 *     hostPorts:              of nat and host-only: ports of the host's own (127.0.0.1) that guests reach at the gateway's address
 *       - 8080
 *       - 5353/udp
 */
import { z } from 'zod'
import { NETWORK_KINDS, hasGateway } from '../network/network-order.ts'

export const networkDefinitionSchema = z.strictObject({
  kind: z.enum(NETWORK_KINDS as [string, ...string[]]).transform(kind => kind as typeof NETWORK_KINDS[number]),
  bridge: z.string().optional(),
  tap: z.string().optional(),
  ipv4: z.string().optional(),
  ipv6: z.string().optional(),
  mtu: z.int().min(1280).max(65_535).optional(),
  allow: z.array(z.string()).max(256).optional(),
  hostPorts: z.array(z.union([z.string(), z.number().transform(String)])).max(256).optional(),
}).superRefine(({ kind, bridge, tap, ipv4, ipv6, allow, hostPorts }, context) => {
  const refuse = (field: string, message: string): void => context.addIssue({ code: 'custom', path: [field], message })
  if (kind === 'bridge' && (bridge === undefined) === (tap === undefined)) {
    refuse('bridge', 'or tap, one of them, says what the network leads to: the host\'s bridge, such as br0, or a TAP')
  }
  if (kind !== 'bridge' && (bridge !== undefined || tap !== undefined)) refuse('bridge', 'and tap are for networks of the kind bridge')
  if (hasGateway(kind) && ipv4 === undefined) refuse('ipv4', 'is missing: write the gateway\'s address, such as 10.0.5.1/24')
  if (!hasGateway(kind) && (ipv4 !== undefined || ipv6 !== undefined)) {
    refuse('ipv4', `and ipv6 are for a gateway of ours, which a network of the kind ${kind} has not`)
  }
  if (!hasGateway(kind) && hostPorts !== undefined) refuse('hostPorts', 'are for networks of the kinds nat and host-only')
  if (kind !== 'nat' && allow !== undefined) refuse('allow', 'is for networks of the kind nat')
})

export type NetworkDefinition = z.infer<typeof networkDefinitionSchema>
