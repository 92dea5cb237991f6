/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82441FX (i440FX) PCI and memory controller, 00:00.0: identity and registers (order no. 290549).
 * The memory map is the hypervisor's, so PAM and SMRAM are bytes that firmware finds as it left
 * them.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/chipset/pci_regs.h"
#include "devices/models.h"
#include "devices/pci.h"

#define TRC      0x93 /* turbo reset control, 3.2.27 */
#define TRC_RCPU 0x04 /* its rising edge resets the machine */

static const struct pci_reg regs[] = {
    {0x50, 2, 0x0000, 0x8ff8, 0},         /* PMCCFG 3.2.11 */
    {0x52, 1, 0x00, 0x40, 0},             /* DETURBO */
    {0x53, 1, 0x80, 0xf0, 0},             /* DBC */
    {0x54, 1, 0x00, 0x82, 0},             /* AXC */
    {0x55, 2, 0x0000, 0xffff, 0},         /* DRT */
    {0x57, 1, 0x01, 0x37, 0},             /* DRAMC */
    {0x58, 1, 0x10, 0x7f, 0},             /* DRAMT */
    {0x59, 1, 0x00, 0x33, 0},             /* PAM0 3.2.18: the BIOS area */
    {0x5a, 2, 0x0000, 0x3333, 0},         /* PAM1, PAM2 */
    {0x5c, 4, 0x00000000, 0x33333333, 0}, /* PAM3 - PAM6 */
    {0x60, 4, 0x01010101, 0xffffffff, 0}, /* DRB0 - DRB3 */
    {0x64, 4, 0x01010101, 0xffffffff, 0}, /* DRB4 - DRB7 */
    {0x68, 1, 0x00, 0xc0, 0},             /* FDHC */
    {0x70, 1, 0x00, 0xf8, 0},             /* MTT */
    {0x71, 1, 0x10, 0xf8, 0},             /* CLT */
    {0x72, 1, 0x02, 0x78, 0},             /* SMRAM 3.2.23 */
    {0x90, 1, 0x00, 0xf3, 0},             /* ERRCMD */
    {0x91, 1, 0x00, 0x00, 0x11},          /* ERRSTS */
    {TRC, 1, 0x00, 0x0e, 0},
};

struct i440fx {
    struct dev dev;
    struct pci_func func;
    const struct host *host;
};

static void written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    struct i440fx *mch = dev;

    if (reg > TRC || reg + size <= TRC)
        return;
    uint8_t before = (uint8_t)(old >> (8 * (TRC - reg)));
    if (~before & pci_func_get(&mch->func, TRC, 1) & TRC_RCPU)
        host_power(mch->host, HOST_POWER_RESET);
}

static void i440fx_reset(struct dev *dev)
{
    struct i440fx *mch = (struct i440fx *)dev;

    pci_func_reset(&mch->func);
    pci_regs_reset(&mch->func, regs, PCI_REGS_COUNT(regs));
}

static void i440fx_save(const struct dev *dev, struct state_writer *writer)
{
    pci_func_save(&((const struct i440fx *)dev)->func, writer);
}

static void i440fx_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    pci_func_load(&((struct i440fx *)dev)->func, reader);
}

static void i440fx_destroy(struct dev *dev)
{
    struct i440fx *mch = (struct i440fx *)dev;

    pci_func_finish(&mch->func);
    free(mch);
}

static const struct dev_ops i440fx_ops = {
    .model = "i440fx",
    .version = 1,
    .reset = i440fx_reset,
    .save = i440fx_save,
    .load = i440fx_load,
    .destroy = i440fx_destroy,
};

int i440fx_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const struct pci_id id = {
        .vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000};
    struct i440fx *mch = calloc(1, sizeof(*mch));

    if (!mch)
        return -ENOMEM;
    mch->dev.ops = &i440fx_ops;
    mch->dev.name = "i440fx";
    mch->host = env->host;
    mch->func.name = "i440fx";
    mch->func.dev = mch;
    mch->func.written = written;
    int err = pci_func_init(&mch->func, env->bus, PCI_DEVFN(0, 0), &id);
    if (err) {
        free(mch);
        return err;
    }
    pci_regs_reset(&mch->func, regs, PCI_REGS_COUNT(regs));
    *ret_dev = &mch->dev;
    return 0;
}
