/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests in words, from the point of view of somebody who has the data sheets at hand. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/trace.h"

struct name {
    uint64_t value; /* a register's offset, a command, or a bit */
    const char *name;
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ATA-6 7.15; "DSC" since firmware still looks for it. */
static const struct name ata_status[] = {
    {0x80, "BSY"}, {0x40, "DRDY"}, {0x20, "DF"},  {0x10, "DSC"},
    {0x08, "DRQ"}, {0x04, "CORR"}, {0x02, "IDX"}, {0x01, "ERR"},
};

/* ATA-6 7.9, and 8.27 for UDMA's CRC errors. */
static const struct name ata_error[] = {
    {0x80, "ICRC"}, {0x40, "UNC"},  {0x20, "MC"},    {0x10, "IDNF"},
    {0x08, "MCR"},  {0x04, "ABRT"}, {0x02, "TK0NF"}, {0x01, "AMNF"},
};

static const struct name ata_control[] = {{0x80, "HOB"}, {0x04, "SRST"}, {0x02, "nIEN"}};

/* ATA8-ACS, annex B. */
static const struct name ata_commands[] = {
    {0x00, "NOP"},
    {0x06, "DATA SET MANAGEMENT"},
    {0x08, "DEVICE RESET"},
    {0x20, "READ SECTORS"},
    {0x24, "READ SECTORS EXT"},
    {0x25, "READ DMA EXT"},
    {0x27, "READ NATIVE MAX ADDRESS EXT"},
    {0x29, "READ MULTIPLE EXT"},
    {0x2f, "READ LOG EXT"},
    {0x30, "WRITE SECTORS"},
    {0x34, "WRITE SECTORS EXT"},
    {0x35, "WRITE DMA EXT"},
    {0x39, "WRITE MULTIPLE EXT"},
    {0x3d, "WRITE DMA FUA EXT"},
    {0x40, "READ VERIFY SECTORS"},
    {0x42, "READ VERIFY SECTORS EXT"},
    {0x90, "EXECUTE DEVICE DIAGNOSTIC"},
    {0x91, "INITIALIZE DEVICE PARAMETERS"},
    {0xa0, "PACKET"},
    {0xa1, "IDENTIFY PACKET DEVICE"},
    {0xb0, "SMART"},
    {0xc4, "READ MULTIPLE"},
    {0xc5, "WRITE MULTIPLE"},
    {0xc6, "SET MULTIPLE MODE"},
    {0xc8, "READ DMA"},
    {0xca, "WRITE DMA"},
    {0xe0, "STANDBY IMMEDIATE"},
    {0xe1, "IDLE IMMEDIATE"},
    {0xe2, "STANDBY"},
    {0xe3, "IDLE"},
    {0xe5, "CHECK POWER MODE"},
    {0xe6, "SLEEP"},
    {0xe7, "FLUSH CACHE"},
    {0xea, "FLUSH CACHE EXT"},
    {0xec, "IDENTIFY DEVICE"},
    {0xef, "SET FEATURES"},
    {0xf8, "READ NATIVE MAX ADDRESS"},
};

/* SFF-8038i, "Programming Interface for Bus Master IDE Controller" 1.0. */
static const struct name bm_command[] = {{0x08, "to memory"}, {0x01, "start"}};
static const struct name bm_status[] = {
    {0x40, "drive 1 capable"}, {0x20, "drive 0 capable"}, {0x04, "interrupt"},
    {0x02, "error"},           {0x01, "active"},
};

/* PC16550D, table II. */
static const struct name uart_line_status[] = {
    {0x40, "TEMT"}, {0x20, "THRE"}, {0x10, "BI"}, {0x08, "FE"},
    {0x04, "PE"},   {0x02, "OE"},   {0x01, "DR"},
};
static const struct name uart_registers[] = {
    {1, "IER"}, {2, "IIR/FCR"}, {3, "LCR"}, {4, "MCR"}, {6, "MSR"}, {7, "SCR"},
};

static const struct name kbc_status[] = {{0x20, "AUX"}, {0x02, "IBF"}, {0x01, "OBF"}};

/* PCI 3.0, figure 6-1. */
static const struct name pci_registers[] = {
    {0x00, "vendor"},       {0x02, "device"},    {0x04, "command"},       {0x06, "status"},
    {0x08, "revision"},     {0x09, "class"},     {0x0a, "class"},         {0x0e, "header type"},
    {0x10, "BAR0"},         {0x14, "BAR1"},      {0x18, "BAR2"},          {0x1c, "BAR3"},
    {0x20, "BAR4"},         {0x24, "BAR5"},      {0x2c, "subsystem"},     {0x30, "ROM"},
    {0x34, "capabilities"}, {0x3c, "interrupt"}, {0x3d, "interrupt pin"},
};
static const struct name pci_command[] = {
    {0x400, "INTx off"}, {0x04, "master"}, {0x02, "memory"}, {0x01, "I/O"}};

/* 8254x Software Developer's Manual, table 13-2. */
static const struct name e1000_registers[] = {
    {0x0000, "CTRL"},     {0x0008, "STATUS"}, {0x0010, "EECD"},  {0x0014, "EERD"},
    {0x0018, "CTRL_EXT"}, {0x0020, "MDIC"},   {0x00c0, "ICR"},   {0x00c4, "ITR"},
    {0x00c8, "ICS"},      {0x00d0, "IMS"},    {0x00d8, "IMC"},   {0x0100, "RCTL"},
    {0x0400, "TCTL"},     {0x0410, "TIPG"},   {0x1000, "PBA"},   {0x2800, "RDBAL"},
    {0x2804, "RDBAH"},    {0x2808, "RDLEN"},  {0x2810, "RDH"},   {0x2818, "RDT"},
    {0x2820, "RDTR"},     {0x3800, "TDBAL"},  {0x3804, "TDBAH"}, {0x3808, "TDLEN"},
    {0x3810, "TDH"},      {0x3818, "TDT"},    {0x3820, "TIDV"},  {0x5400, "RAL0"},
    {0x5404, "RAH0"},
};

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size,
                                                         const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

static void bits(const struct name *names, size_t count, uint64_t value, char *text, size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (value & names[i].value)
            append(text, size, "%s%s", *text ? " " : "", names[i].name);
}

static void one_of(const struct name *names, size_t count, uint64_t value, char *text, size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (value == names[i].value)
            append(text, size, "%s", names[i].name);
}

#define BITS(names, value)   bits(names, COUNT_OF(names), value, text, size)
#define ONE_OF(names, value) one_of(names, COUNT_OF(names), value, text, size)

/* The controllers' ranges tell themselves apart by their sizes: 8 ports are a command block, 1 or 4
 * the control register in it (in a BAR of four it is the third), 16 the bus master's. */
static void ide(const struct trace_entry *entry, char *text, size_t size)
{
    static const char *const registers[] = {"data",    "features", "count",  "LBA low",
                                            "LBA mid", "LBA high", "device", ""};
    const struct dispatch_request *request = &entry->request;
    bool read = request->read;
    unsigned offset = (unsigned)entry->offset;

    if (entry->range == 16 && (offset & 7) == 0)
        BITS(bm_command, request->data);
    else if (entry->range == 16 && (offset & 7) == 2)
        BITS(bm_status, request->data);
    else if (entry->range == 16 && (offset & 7) == 4)
        append(text, size, "descriptors");
    else if (entry->range == 1 || (entry->range == 4 && offset == 2)) {
        if (read)
            BITS(ata_status, request->data);
        else
            BITS(ata_control, request->data);
    } else if (entry->range != 8 || offset > 7)
        return;
    else if (offset == 7 && read)
        BITS(ata_status, request->data);
    else if (offset == 7)
        ONE_OF(ata_commands, request->data);
    else if (offset == 1 && read)
        BITS(ata_error, request->data);
    else
        append(text, size, "%s", registers[offset]);
}

static void uart(const struct trace_entry *entry, char *text, size_t size)
{
    const struct dispatch_request *request = &entry->request;
    unsigned offset = entry->offset & 7;

    if (offset == 5)
        BITS(uart_line_status, request->data);
    else if (offset)
        ONE_OF(uart_registers, offset);
    else if (request->data >= ' ' && request->data <= '~')
        append(text, size, "'%c'", (char)request->data);
}

static void pci_address(const struct dispatch_request *request, char *text, size_t size)
{
    uint32_t address = (uint32_t)request->data;

    if (request->addr == 0xcf8 && request->size == 4 && address & 0x80000000u)
        append(text, size, "%02x:%02x.%u+0x%02x", address >> 16 & 0xff, address >> 11 & 0x1f,
               address >> 8 & 7, address & 0xfc);
}

void trace_meaning(const struct trace_entry *entry, char *text, size_t size)
{
    const struct dispatch_request *request = &entry->request;
    const char *model = entry->model ? entry->model : "";

    text[0] = '\0';
    if (request->illegal || request->string)
        return;
    if (request->type == IOREQ_PCI_CONFIG) {
        ONE_OF(pci_registers, request->addr & 0xfff);
        if ((request->addr & 0xfff) == 0x04 && request->data & 0x407) {
            append(text, size, ": ");
            for (size_t i = 0, n = 0; i < COUNT_OF(pci_command); i++)
                if (request->data & pci_command[i].value)
                    append(text, size, "%s%s", n++ ? " " : "", pci_command[i].name);
        }
    } else if (!strcmp(model, "piix3-ide") || !strcmp(model, "cmd646")) {
        ide(entry, text, size);
    } else if (!strcmp(model, "uart16550")) {
        uart(entry, text, size);
    } else if (!strcmp(model, "e1000") && request->type == IOREQ_COPY) {
        ONE_OF(e1000_registers, entry->offset);
    } else if (!strcmp(model, "i8042") && request->addr == 0x64 && request->read) {
        BITS(kbc_status, request->data);
    } else if (!strcmp(model, "pci-host")) {
        pci_address(request, text, size);
    }
}

static void decode_access(const struct dispatch_request *request, char *line)
{
    static const char *const verbs[][2] = {
        [IOREQ_PIO] = {"OUT", "IN"},
        [IOREQ_COPY] = {"WR", "RD"},
        [IOREQ_PCI_CONFIG] = {"CFGWR", "CFGRD"},
    };

    append(line, TRACE_LINE_MAX, " %s%s ", verbs[request->type][request->read],
           request->string ? "S" : "");
    if (request->type == IOREQ_PCI_CONFIG)
        append(line, TRACE_LINE_MAX, "%02x:%02x.%u+0x%02x", (unsigned)(request->addr >> 40 & 0xff),
               (unsigned)(request->addr >> 35 & 0x1f), (unsigned)(request->addr >> 32 & 7),
               (unsigned)(request->addr & 0xfff));
    else
        append(line, TRACE_LINE_MAX, "0x%" PRIx64, request->addr);
    append(line, TRACE_LINE_MAX, "/%u", request->size);
    if (request->count != 1)
        append(line, TRACE_LINE_MAX, " x%u", request->count);
    append(line, TRACE_LINE_MAX, " %s ", request->read ? "->" : "<-");
    if (request->string)
        append(line, TRACE_LINE_MAX, "memory at 0x%" PRIx64, request->data);
    else
        append(line, TRACE_LINE_MAX, "0x%0*" PRIx64, (int)request->size * 2, request->data);
}

void trace_decode(const struct trace_entry *entry, char line[TRACE_LINE_MAX])
{
    const struct dispatch_request *request = &entry->request;
    char meaning[96];

    if (request->vcpu == UINT32_MAX)
        snprintf(line, TRACE_LINE_MAX, "ring");
    else
        snprintf(line, TRACE_LINE_MAX, "vcpu%u", request->vcpu);
    if (request->illegal)
        append(line, TRACE_LINE_MAX, " ILLEGAL type %u addr 0x%" PRIx64 "/%u x%u: %s",
               request->type, request->addr, request->size, request->count, request->illegal);
    else if (request->type == IOREQ_INVALIDATE)
        append(line, TRACE_LINE_MAX, " INVALIDATE");
    else if (request->type == IOREQ_TIMEOFFSET)
        append(line, TRACE_LINE_MAX, " TIMEOFFSET");
    else
        decode_access(request, line);
    trace_meaning(entry, meaning, sizeof(meaning));
    if (*meaning)
        append(line, TRACE_LINE_MAX, " %s", meaning);
    if (entry->device[0])
        append(line, TRACE_LINE_MAX, " [%s]", entry->device);
}
