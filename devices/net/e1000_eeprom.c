/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The EEPROM, a 93C46 of 64 words (SDM 5), read by the controller for software (EERD) or clocked by
 * software itself (EECD). */
#include <string.h>

#include "devices/net/e1000_internal.h"

#define WORDS    64u
#define CHECKSUM 0x3f
#define SUM      0xbaba /* of all words: SDM 5.6.35 */

/* SDM 5.6; what is not here is all-ones, as erased. Reserved words that drivers look at are 0. */
static const struct {
    uint8_t word;
    uint16_t value;
} contents[] = {
    {0x03, 0x0000}, /* compatibility: nothing special */
    {0x04, 0xffff}, /* SerDes configuration: none */
    {0x05, 0x0000}, /* image version */
    {0x06, 0x0000}, {0x07, 0x0000}, {0x08, 0xffff}, {0x09, 0xffff}, /* part number: none */
    {0x0a, 0x6403},                 /* control 1: valid, 32-bit BARs, full duplex, IDs from here */
    {0x0b, 0x001e}, {0x0c, 0x8086}, /* subsystem */
    {0x0d, 0x100e}, {0x0e, 0x8086}, /* device */
    {0x0f, 0x3000},                 /* control 2: both kinds of pause */
    {0x10, 0x0000}, {0x11, 0x0000}, {0x12, 0x0000}, {0x13, 0x0000},
    {0x20, 0x0000}, /* software defined pins: all inputs */
    {0x21, 0x0000}, /* circuits */
    {0x22, 0x0000}, /* D0 power */
    {0x23, 0x0000}, /* management */
    {0x24, 0x0000}, /* control 3: no wake-up (APM) */
    {0x2f, 0x0602}, /* LEDs */
};

void e1000_eeprom_init(struct e1000 *nic, const uint8_t mac[NET_MAC_BYTES])
{
    uint16_t *data = nic->eeprom.data, sum = 0;

    eeprom93_init(&nic->eeprom, WORDS);
    for (unsigned i = 0; i < 3; i++)
        data[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
    for (unsigned i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
        data[contents[i].word] = contents[i].value;
    for (unsigned i = 0; i < CHECKSUM; i++)
        sum = (uint16_t)(sum + data[i]);
    data[CHECKSUM] = (uint16_t)(SUM - sum);
}

void e1000_eeprom_load(struct e1000 *nic)
{
    const uint16_t *data = nic->eeprom.data;

    memset(nic->ra, 0, sizeof(nic->ra));
    nic->ra[0] = data[0] | (uint32_t)data[1] << 16;
    nic->ra[1] = data[2] | E1000_RAH_AV;
}

/* Software has the pins while it asks for them. */
void e1000_eecd(struct e1000 *nic)
{
    uint32_t eecd = nic->reg[E1000_R_EECD];

    eeprom93_pins(&nic->eeprom, eecd & E1000_EECD_CS, eecd & E1000_EECD_SK, eecd & E1000_EECD_DI);
}

uint32_t e1000_eecd_read(const struct e1000 *nic)
{
    uint32_t eecd = nic->reg[E1000_R_EECD] | E1000_EECD_PRES;

    if (eecd & E1000_EECD_REQ)
        eecd |= E1000_EECD_GNT;
    if (eeprom93_out(&nic->eeprom))
        eecd |= E1000_EECD_DO;
    return eecd;
}

/* Six bits of address reach the chip. */
void e1000_eerd(struct e1000 *nic)
{
    uint32_t eerd = nic->reg[E1000_R_EERD] & 0xff00;
    uint32_t word = eerd >> E1000_EERD_ADDR_SHIFT & (WORDS - 1);

    nic->reg[E1000_R_EERD] =
        (uint32_t)nic->eeprom.data[word] << E1000_EERD_DATA_SHIFT | eerd | E1000_EERD_DONE;
}
