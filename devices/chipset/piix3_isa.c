/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371SB (PIIX3) PCI-to-ISA bridge, 00:01.0 (order no. 290550): the PIRQ router, and registers
 * that firmware expects to keep. The edge/level registers at 0x4d0 belong to the interrupt
 * controllers, which are the hypervisor's.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/chipset/pci_regs.h"
#include "devices/models.h"
#include "devices/pci.h"

#define PIRQRC         0x60 /* 2.2.10: A to D, a byte each */
#define PIRQRC_LINKS   4
#define PIRQRC_DISABLE 0x80
#define PIRQRC_IRQ     0x0f

/* IRQs that the router cannot drive: 0, 1, 2, 8, 13 are reserved. */
#define PIRQ_RESERVED 0x2107

static const struct pci_reg regs[] = {
    {0x4c, 1, 0x4d, 0xff, 0},     /* IORT 2.2.7 */
    {0x4e, 2, 0x0003, 0x01ff, 0}, /* XBCS */
    {PIRQRC, 4, 0x80808080, 0x8f8f8f8f, 0},
    {0x69, 1, 0x02, 0xfe, 0},             /* TOM */
    {0x6a, 2, 0x0000, 0x80d7, 0},         /* MSTAT */
    {0x70, 2, 0x8080, 0xefef, 0},         /* MBIRQ0, 1 */
    {0x76, 2, 0x0c0c, 0x8f8f, 0},         /* MBDMA0, 1 */
    {0x78, 2, 0x0002, 0xffff, 0},         /* PCSC */
    {0x80, 1, 0x00, 0x7f, 0},             /* APICBASE */
    {0x82, 1, 0x00, 0x0f, 0},             /* DLC */
    {0xa0, 1, 0x08, 0x1f, 0},             /* SMICNTL */
    {0xa2, 2, 0x0000, 0x00ff, 0},         /* SMIEN */
    {0xa4, 4, 0x00000000, 0xe000fbff, 0}, /* SEE */
    {0xa8, 1, 0x0f, 0xff, 0},             /* FTMR */
    {0xaa, 2, 0x0000, 0x00ff, 0},         /* SMIREQ */
    {0xac, 1, 0x00, 0xff, 0},             /* CTLTMR */
    {0xae, 1, 0x00, 0xff, 0},             /* CTHTMR */
};

struct piix3_isa {
    struct dev dev;
    struct pci_func func;
    const struct host *host;
};

static void route_link(const struct piix3_isa *isa, unsigned link)
{
    uint32_t route = pci_func_get(&isa->func, PIRQRC + link, 1);
    unsigned irq = route & PIRQRC_IRQ;

    if ((route & PIRQRC_DISABLE) || (PIRQ_RESERVED >> irq & 1))
        irq = 0;
    host_pci_link_route(isa->host, link, irq);
}

static void written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    struct piix3_isa *isa = dev;

    for (unsigned link = 0; link < PIRQRC_LINKS; link++) {
        if (PIRQRC + link >= reg && PIRQRC + link < reg + size)
            route_link(isa, link);
    }
}

static void route_all(const struct piix3_isa *isa)
{
    for (unsigned link = 0; link < PIRQRC_LINKS; link++)
        route_link(isa, link);
}

static void piix3_isa_reset(struct dev *dev)
{
    struct piix3_isa *isa = (struct piix3_isa *)dev;

    pci_func_reset(&isa->func);
    pci_regs_reset(&isa->func, regs, PCI_REGS_COUNT(regs));
    route_all(isa);
}

static void piix3_isa_save(const struct dev *dev, struct state_writer *writer)
{
    pci_func_save(&((const struct piix3_isa *)dev)->func, writer);
}

static void piix3_isa_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct piix3_isa *isa = (struct piix3_isa *)dev;

    if (!pci_func_load(&isa->func, reader))
        route_all(isa);
}

static void piix3_isa_destroy(struct dev *dev)
{
    struct piix3_isa *isa = (struct piix3_isa *)dev;

    pci_func_finish(&isa->func);
    free(isa);
}

static const struct dev_ops piix3_isa_ops = {
    .model = "piix3-isa",
    .version = 1,
    .reset = piix3_isa_reset,
    .save = piix3_isa_save,
    .load = piix3_isa_load,
    .destroy = piix3_isa_destroy,
};

int piix3_isa_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const struct pci_id id = {
        .vendor = 0x8086, .device = 0x7000, .class_code = 0x060100, .multifunction = true};
    struct piix3_isa *isa = calloc(1, sizeof(*isa));

    if (!isa)
        return -ENOMEM;
    isa->dev.ops = &piix3_isa_ops;
    isa->dev.name = "piix3-isa";
    isa->host = env->host;
    isa->func.name = "piix3-isa";
    isa->func.dev = isa;
    isa->func.written = written;
    int err = pci_func_init(&isa->func, env->bus, PCI_DEVFN(1, 0), &id);
    if (err) {
        free(isa);
        return err;
    }
    pci_regs_reset(&isa->func, regs, PCI_REGS_COUNT(regs));
    route_all(isa);
    *ret_dev = &isa->dev;
    return 0;
}
